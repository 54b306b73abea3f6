import { type FileSystem, fileExists, readWholeFile, replaceFile } from "@millrace/core";

/** Remembers which processes use the run's folder, so that the next run does not empty it under them. */
export async function writeProcessIds(
  files: FileSystem,
  path: string,
  ids: readonly number[],
): Promise<void> {
  await replaceFile(files, path, Buffer.from(`${JSON.stringify(ids)}\n`));
}

/** Those of an earlier run that still live. */
export async function livingProcessIds(files: FileSystem, path: string): Promise<number[]> {
  if (!(await fileExists(files, path))) return [];
  const ids = JSON.parse((await readWholeFile(files, path)).toString()) as number[];
  const ours = await Promise.all(ids.map((id) => isQuickstart(files, id)));
  return ids.filter((_, index) => ours[index]);
}

/** Whether such a process lives; where the system tells what it runs, whether that is ours. */
async function isQuickstart(files: FileSystem, id: number): Promise<boolean> {
  try {
    process.kill(id, 0);
  } catch {
    return false;
  }
  const commandLine = `/proc/${id}/cmdline`;
  if (!(await fileExists(files, commandLine))) return true;
  const handle = await files.open(commandLine, "read");
  try {
    const bytes = Buffer.alloc(16_384);
    const count = await handle.read(bytes, 0, bytes.length, 0);
    return bytes.toString("utf8", 0, count).includes("quickstart");
  } finally {
    await handle.close();
  }
}
