import { fileExists, type FileSystem, MillraceError } from "@millrace/core";
import { join } from "node:path";
import type { KeyProvider } from "../keys/key-provider.ts";
import { createPayloadCipher, type PayloadCipher } from "./decryption.ts";
import { type LogMeta, readLogMeta } from "./log-meta.ts";

/** One data file of a Java file channel. */
export interface JavaLog {
  readonly path: string;
  /** Its number: `log-12`. */
  readonly id: number;
  readonly directory: string;
  readonly size: number;
  readonly meta: LogMeta;
  readonly cipher: PayloadCipher | undefined;
}

const logName = /^log-(\d+)$/;
/** Pointers have 31 bits for the place in a file. */
const logBytesMax = 2 ** 31;

/**
 * The data files of these directories in the order of their numbers, in which they were begun.
 * Throws CHANNEL_DIRECTORY and CHANNEL_FORMAT for what is no Java file channel that can be read.
 */
export async function findLogs(
  files: FileSystem,
  dataDirs: readonly string[],
  keys: KeyProvider | undefined,
): Promise<JavaLog[]> {
  const logs: JavaLog[] = [];
  for (const directory of dataDirs) {
    if (!(await fileExists(files, directory))) {
      throw notJava(
        `${directory} does not exist; name the dataDirs of the Java channel`,
        directory,
      );
    }
    const before = logs.length;
    let seen = 0;
    for (const { name } of await files.readDirectory(directory)) {
      const id = logName.exec(name)?.[1];
      if (id === undefined) continue;
      seen++;
      const log = await openLog(files, directory, name, Number(id), keys);
      if (log !== undefined) logs.push(log);
    }
    if (seen === 0 && logs.length === before) {
      throw notJava(
        `${directory} has no log-N of a Java file channel; name its dataDirs, each of them, and not its checkpointDir`,
        directory,
      );
    }
  }
  logs.sort((a, b) => a.id - b.id);
  for (const [index, log] of logs.entries()) {
    const next = logs[index + 1];
    if (next?.id !== log.id) continue;
    const text = `${log.path} and ${next.path} have the same number: these are not the directories of one channel, or one is a copy; name the dataDirs of one channel`;
    throw notJava(text, next.directory);
  }
  return logs;
}

function notJava(text: string, directory: string): MillraceError {
  return new MillraceError("CHANNEL_DIRECTORY", text, { context: { directory } });
}

/** Undefined for a file that was made and never written to. */
async function openLog(
  files: FileSystem,
  directory: string,
  name: string,
  id: number,
  keys: KeyProvider | undefined,
): Promise<JavaLog | undefined> {
  const path = join(directory, name);
  const { size } = await files.stat(path);
  if (size === 0) return undefined;
  const meta = await readLogMeta(files, path);
  if (meta === undefined) throw await withoutMeta(files, path);
  if (meta.version !== 3 || meta.file !== id || size > logBytesMax) {
    throw new MillraceError(
      "CHANNEL_FORMAT",
      `${path}.meta says version ${meta.version} and file ${meta.file}, and the file has ${size} bytes; what can be read is version 3, file ${id} and ${logBytesMax} bytes at most. Drain the channel with Java Flume`,
      { context: { file: path } },
    );
  }
  const { encryption } = meta;
  const cipher = encryption && (await createPayloadCipher(path, encryption, keys));
  return { path, id, directory, size, meta, cipher };
}

async function withoutMeta(files: FileSystem, path: string): Promise<MillraceError> {
  const handle = await files.open(path, "read");
  const start = Buffer.alloc(4);
  try {
    await handle.read(start, 0, 4, 0);
  } finally {
    await handle.close();
  }
  const context = { file: path };
  if (start.readInt32BE(0) === 2) {
    const text = `${path} has format 2 of the file channel, that of Flume before 1.4; start Flume 1.11 on it once and let it drain the channel`;
    return new MillraceError("CHANNEL_FORMAT", text, { context });
  }
  const text = `${path}.meta is missing or empty, and ${path} is not: whether it is encrypted cannot be known. Restore the file, or let Java Flume say what it makes of it`;
  return new MillraceError("CHANNEL_FORMAT", text, { context });
}
