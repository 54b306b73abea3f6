import { type FileSystem, fileExists, MillraceError, readWholeFile } from "@millrace/core";
import { basename, dirname, join } from "node:path";

const javaNames = /^(log-\d+(\.meta)?|checkpoint|checkpoint\.meta|in_use\.lock|inflighttakes)$/;

/** Refuses a directory that holds a Java Flume channel; it is never written to. */
export async function refuseJavaFlume(files: FileSystem, directory: string): Promise<void> {
  if (!(await fileExists(files, directory))) return;
  const entries = await files.readDirectory(directory);
  const found = entries.map(({ name }) => name).filter((name) => javaNames.test(name));
  if (found.length === 0) return;
  const events = await countJavaEvents(files, directory);
  const held = events === undefined ? "an unknown number of events" : `about ${events} events`;
  throw new MillraceError(
    "CHANNEL_DIRECTORY",
    `${directory} is the directory of a Java Flume channel (${found.sort().slice(0, 3).join(", ")}) with ${held}; drain it with Java Flume, or \`millrace file-channel import\`, or name another directory in dataDirs`,
    { context: { directory, events } },
  );
}

/**
 * The queue's length in Flume's `checkpoint.meta`, a delimited protobuf: field 3, a fixed 32-bit
 * number (EventQueueBackingStoreFileV3). It lies beside the checkpoint: here, or in the directory
 * `checkpoint` next to this one.
 */
async function countJavaEvents(files: FileSystem, directory: string): Promise<number | undefined> {
  const places = [directory, join(dirname(directory), "checkpoint")];
  if (basename(directory) === "checkpoint") places.pop();
  for (const place of places) {
    const path = join(place, "checkpoint.meta");
    if (!(await fileExists(files, path))) continue;
    const meta = await readWholeFile(files, path);
    // length | 0x0d version(4) | 0x11 writeOrderID(8) | 0x1d queueSize(4) | 0x25 queueHead(4) ...
    const at = meta.indexOf(0x0d);
    if (at < 1 || meta.length < at + 19 || meta[at + 5] !== 0x11 || meta[at + 14] !== 0x1d)
      continue;
    return meta.readInt32LE(at + 15);
  }
  return undefined;
}
