import { type FileSystem, readWholeFile, systemErrorCode } from "@millrace/core";
import { join } from "node:path";
import { readDefines, readJavaOpts, splitShellWords } from "./java-opts.ts";
import type { Words } from "./split-words.ts";

/**
 * All -D words in the order of Flume's launcher, the later wins: JAVA_OPTS of `flume-env.sh`,
 * FLUME_JAVA_OPTS of the environment, the command line.
 */
export async function gatherDefines(
  words: Words,
  confDirectory: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  files: FileSystem,
): Promise<{ defines: ReadonlyMap<string, string>; notes: readonly string[] }> {
  const notes: string[] = [];
  const defines = new Map<string, string>();
  const add = (more: { defines: ReadonlyMap<string, string>; notes: readonly string[] }): void => {
    for (const [name, value] of more.defines) defines.set(name, value);
    notes.push(...more.notes);
  };
  if (confDirectory !== undefined) {
    const path = join(confDirectory, "flume-env.sh");
    const shellText = await readIfThere(files, path, notes);
    if (shellText !== undefined) add(readJavaOpts(shellText));
  }
  add(readDefines(splitShellWords(env["FLUME_JAVA_OPTS"] ?? "")));
  add({ defines: words.defines, notes: [] });
  return { defines, notes };
}

async function readIfThere(
  files: FileSystem,
  path: string,
  notes: string[],
): Promise<string | undefined> {
  try {
    return (await readWholeFile(files, path)).toString("utf8");
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") {
      notes.push(`${path} cannot be read: ${(error as Error).message}`);
    }
    return undefined;
  }
}
