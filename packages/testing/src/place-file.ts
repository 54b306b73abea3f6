import { rename, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/**
 * Puts a file where a running process looks, whole from the first moment: written under a hidden
 * name beside it, then renamed. One that stood there is replaced.
 */
export async function placeFile(path: string, content: string | Uint8Array): Promise<void> {
  const unfinished = join(dirname(path), `.${basename(path)}.unfinished`);
  await writeFile(unfinished, content);
  await rename(unfinished, path);
}
