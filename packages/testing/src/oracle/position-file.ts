import { parsePositions } from "@millrace/core";
import { readFile } from "node:fs/promises";

/** What the position file says; empty when it is missing or is being written at this moment. */
export async function readPositions(path: string): Promise<ReadonlyMap<string, number>> {
  try {
    return parsePositions(await readFile(path, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Map();
    throw error;
  }
}
