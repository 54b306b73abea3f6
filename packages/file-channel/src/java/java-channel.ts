import { fileExists, type FileSystem, MillraceError } from "@millrace/core";
import { createHash } from "node:crypto";
import { basename, dirname, join, resolve } from "node:path";
import type { KeyProvider } from "../keys/key-provider.ts";
import { type Checkpoint, readCheckpoint } from "./checkpoint.ts";
import { findLogs, type JavaLog } from "./find-logs.ts";
import { readJavaLock } from "./java-lock.ts";
import { type JavaBatch, type JavaDamage, readEvents, type ReadLimits } from "./read-events.ts";
import { type Replay, replayLogs } from "./replay.ts";

export interface JavaChannelOptions {
  /** All `dataDirs` of the Java channel. */
  readonly dataDirs: readonly string[];
  /** Its `checkpointDir`; looked for beside the data directories when it is not given. */
  readonly checkpointDir?: string | undefined;
  /** For encrypted data files. */
  readonly keys?: KeyProvider | undefined;
  /** Go on where it cannot be told whether an agent runs on it, or where data files are missing. */
  readonly goOn?: boolean;
  /** Told now and then how many bytes of all were looked at. */
  readonly progress?: (bytes: number, bytesTotal: number) => void;
}

/** What a Java Flume agent that has ended left in its file channel. */
export interface JavaChannel {
  /** Events to deliver. Those that turn out to be unreadable are among them. */
  readonly events: number;
  /** Of all data files. */
  readonly bytes: number;
  /** The same for the same channel as long as no agent runs on it. */
  readonly fingerprint: string;
  /** Whether any of its data files is. */
  readonly encrypted: boolean;
  /** Sentences about what was found that an operator is to know. */
  readonly notes: readonly string[];
  /** Found so far: parts of the data files that cannot be read. */
  readonly damages: readonly JavaDamage[];
  /** The events in the order in which Java would deliver them, from a position on. */
  read(from: number, limits: ReadLimits): AsyncGenerator<JavaBatch>;
}

/**
 * Reads a channel of Java Flume, from format 3 (Flume 1.4 to 1.11). Nothing is ever written there.
 * Throws CHANNEL_LOCKED while an agent has it open, CHANNEL_DIRECTORY for directories that are no
 * whole channel, CHANNEL_FORMAT, and KEY_MISSING, KEY_INVALID or KEY_WRONG for encrypted files.
 */
export async function openJavaChannel(
  files: FileSystem,
  options: JavaChannelOptions,
): Promise<JavaChannel> {
  const { dataDirs, keys, goOn = false } = options;
  const notes: string[] = [];
  const checkpointDirs = await findCheckpointDirs(files, options);
  for (const directory of new Set([...dataDirs, ...checkpointDirs])) {
    await refuseInUse(files, directory, goOn, notes);
  }
  const logs = await findLogs(files, dataDirs, keys);
  const checkpoint = await findCheckpoint(files, checkpointDirs, logs, notes);
  const bytesTotal = logs.reduce((sum, { size }) => sum + size, 0);
  const replay = await replayLogs(files, logs, checkpoint, (bytes) =>
    options.progress?.(bytes, bytesTotal),
  );
  refuseWrongKeys(replay);
  const gone = missingLogs(logs);
  refuseMissing(logs, replay, isNewest(checkpoint, logs), gone, goOn, notes);
  describe(replay, notes);
  if (checkpoint === undefined && gone.length > 0 && dataDirs.length > 1) {
    notes.push(
      `${nameLogs(gone)} ${gone.length === 1 ? "is" : "are"} no longer there, and without the checkpoint it is not known what ${gone.length === 1 ? "it" : "they"} said was taken: events may be delivered twice`,
    );
  }
  return {
    events: replay.waiting.length,
    bytes: bytesTotal,
    fingerprint: fingerprintOf(replay),
    encrypted: logs.some(({ cipher }) => cipher !== undefined),
    notes,
    damages: replay.walked.flatMap(({ log, broken }) =>
      broken.map(({ offset, bytes }) => ({
        file: log.path,
        offset,
        what: `${bytes} bytes are no records`,
      })),
    ),
    read: (from, limits) => readEvents(files, logs, replay.waiting, from, limits),
  };
}

async function refuseInUse(
  files: FileSystem,
  directory: string,
  goOn: boolean,
  notes: string[],
): Promise<void> {
  const { state, why } = await readJavaLock(files, directory);
  if (state === "free") return;
  if (state === "unknown" && goOn) {
    notes.push(`whether a Java agent runs on ${directory} ${why}`);
    return;
  }
  const todo =
    state === "held"
      ? "stop the agent, and try again"
      : "make sure that no agent runs on it, then say --yes";
  throw new MillraceError(
    "CHANNEL_LOCKED",
    `whether a Java agent runs on ${directory} ${why}; ${todo}`,
    { context: { directory } },
  );
}

async function findCheckpointDirs(
  files: FileSystem,
  { dataDirs, checkpointDir }: JavaChannelOptions,
): Promise<string[]> {
  if (checkpointDir !== undefined) return [checkpointDir];
  const found: string[] = [];
  for (const place of new Set(dataDirs.map((directory) => dirname(resolve(directory))))) {
    const directory = join(place, "checkpoint");
    if (await fileExists(files, join(directory, "checkpoint"))) found.push(directory);
  }
  return found;
}

/**
 * The checkpoint, when it is whole and provably of this channel: its write order was stamped on a
 * data file's meta. Another channel's would hide events that are waiting.
 */
async function findCheckpoint(
  files: FileSystem,
  directories: readonly string[],
  logs: readonly JavaLog[],
  notes: string[],
): Promise<Checkpoint | undefined> {
  const stamps = new Set(logs.flatMap(({ meta }) => meta.checkpoints));
  for (const directory of directories) {
    const found = await readCheckpoint(files, directory);
    const why =
      typeof found === "string"
        ? found
        : stamps.has(found.writeOrder)
          ? undefined
          : `${directory} is not known to be of this channel: no data file has its stamp`;
    if (why === undefined) return found as Checkpoint;
    notes.push(`the checkpoint is not used: ${why}. All data files are replayed instead`);
  }
  return undefined;
}

function isNewest(checkpoint: Checkpoint | undefined, logs: readonly JavaLog[]): boolean {
  if (checkpoint === undefined) return false;
  return logs.every(({ meta }) =>
    meta.checkpoints.every((order) => order <= checkpoint.writeOrder),
  );
}

function refuseWrongKeys({ walked }: Replay): void {
  for (const { log, records, struckOut, tornBytes } of walked) {
    const { cipher } = log;
    if (cipher === undefined || records + struckOut > 0 || tornBytes === 0) continue;
    throw new MillraceError(
      "KEY_WRONG",
      `${log.path} cannot be read with the key ${cipher.keyAlias}: not one of its records can be decrypted; name the key store the channel was written with`,
      { context: { file: log.path, keyAlias: cipher.keyAlias } },
    );
  }
}

/** Numbers below the highest that no file has. */
function missingLogs(logs: readonly JavaLog[]): number[] {
  const missing: number[] = [];
  let next = 1;
  for (const { id } of logs) {
    for (; next < id && missing.length < 10_000; next++) missing.push(next);
    next = id + 1;
  }
  return missing;
}

/**
 * Java lets a data file go only when all events that are waiting lie in files with higher numbers,
 * and each directory keeps its newest. Any other gap is a directory that was not named, a disk that is not
 * mounted, or files that someone deleted.
 */
function refuseMissing(
  logs: readonly JavaLog[],
  { waiting, missing }: Replay,
  checkpointIsNewest: boolean,
  gone: readonly number[],
  goOn: boolean,
  notes: string[],
): void {
  const newest = new Map(logs.map(({ directory, id }) => [directory, id]));
  let lowest = Math.min(...newest.values());
  for (let i = 0; i < waiting.length; i++) lowest = Math.min(lowest, waiting.file(i));
  if (checkpointIsNewest) for (const { file } of missing) lowest = Math.min(lowest, file);
  const suspicious = [
    ...gone.filter((id) => id >= lowest),
    ...(checkpointIsNewest ? missing.map(({ file }) => file) : []),
  ].sort((a, b) => a - b);
  if (suspicious.length === 0) return;
  const names = nameLogs([...new Set(suspicious)]);
  const what = `${names} of the channel cannot be found, and Java had not let go of such a file: a directory of dataDirs is not named or not mounted, or files were removed`;
  if (!goOn) {
    throw new MillraceError(
      "CHANNEL_DIRECTORY",
      `${what}; name all dataDirs, or, when the files are lost for good, say --yes to import the rest`,
      { context: { missing: suspicious.slice(0, 10) } },
    );
  }
  const lost = checkpointIsNewest ? missing.length : 0;
  notes.push(lost === 0 ? what : `${what}; ${lost} events that were waiting in them are lost`);
}

function nameLogs(ids: readonly number[]): string {
  const names = ids.slice(0, 5).map((id) => `log-${id}`);
  return ids.length > 5 ? `${names.join(", ")} and ${ids.length - 5} more` : names.join(", ");
}

function describe({ walked, inDoubt, takenUncommitted }: Replay, notes: string[]): void {
  for (const { log, tornBytes } of walked) {
    if (tornBytes === 0) continue;
    notes.push(
      `${basename(log.path)} ends with ${tornBytes} bytes of a record that was never finished`,
    );
  }
  if (takenUncommitted > 0) {
    notes.push(
      `${takenUncommitted} events had been taken by a sink whose transaction did not end: they are delivered, and may have been before`,
    );
  }
  if (inDoubt > 0) {
    notes.push(
      `${inDoubt} events lie before damaged bytes in which their commit or rollback may stand: they are delivered, and the sender may have sent them again`,
    );
  }
}

function fingerprintOf(replay: Replay): string {
  const { waiting, walked, highestWriteOrder } = replay;
  const hash = createHash("sha256");
  for (const { log, records } of walked) hash.update(`${log.id} ${log.size} ${records}\n`);
  hash.update(`${waiting.length} ${highestWriteOrder}\n`);
  for (let i = 0; i < waiting.length; i++) {
    if (i > 1000 && i % 1000 !== 0) continue;
    hash.update(`${waiting.file(i)} ${waiting.offset(i)}\n`);
  }
  return hash.digest("hex").slice(0, 16);
}
