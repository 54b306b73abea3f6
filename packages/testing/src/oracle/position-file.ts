import { readFile } from "node:fs/promises";

/**
 * How far a taildir source has read each file, from its position file: all before it is committed to
 * the source's channels. Empty when the file is missing or is being written at this moment.
 */
export async function readPositions(path: string): Promise<ReadonlyMap<string, number>> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Map();
    throw error;
  }
  try {
    const entries = JSON.parse(text) as { file: string; pos: number }[];
    return new Map(entries.map(({ file, pos }) => [file, pos]));
  } catch (error) {
    if (error instanceof SyntaxError) return new Map();
    throw error;
  }
}
