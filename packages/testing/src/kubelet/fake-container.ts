import { systemClock } from "@millrace/core";
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";

export type LogStream = "stdout" | "stderr";

export interface FakeContainerOptions {
  /** `/var/log/pods/<namespace>_<pod>_<uid>/<container>` */
  readonly directory: string;
  /** The link in `/var/log/containers` that leads to the log that is written. */
  readonly link: string;
  readonly format: "cri" | "docker-json";
  /** kubelet's containerLogMaxFiles. */
  readonly maxFiles: number;
  /** A line is written in pieces of at most so many bytes, as runtimes do. */
  readonly pieceBytes: number;
}

/** One container: its runtime, which writes its log, and kubelet, which rotates it. */
export interface FakeContainer {
  readonly directory: string;
  /** Times it was restarted. */
  readonly restarts: number;
  /** Writes a line, in pieces if need be. */
  write(stream: LogStream, line: string | Buffer): void;
  /** Writes a piece of a line that goes on. */
  writePiece(stream: LogStream, text: string): void;
  /** Writes bytes as they are. */
  writeRaw(bytes: string | Buffer): void;
  /** What kubelet does to a log that is too large. The names of logs it removed for good. */
  rotate(): readonly string[];
  /** The two halves of `rotate`: between them the runtime writes to the renamed file. */
  beginRotation(): readonly string[];
  reopen(): void;
  /** Instead of `reopen`: the runtime did not, and kubelet gives the log its name back. */
  cancelRotation(): void;
  /** The runtime starts it again: the next number's log. */
  restart(): void;
  /** Its directory is removed. */
  delete(): void;
}

const compressSuffix = ".gz";
const temporarySuffix = ".tmp";

export function createFakeContainer(options: FakeContainerOptions): FakeContainer {
  const { directory, format, link, maxFiles, pieceBytes } = options;
  let restarts = 0;
  let rotations = 0;
  let lines = 0;
  let rotated = "";
  let handle: number | undefined;

  const livePath = (): string => join(directory, `${restarts}.log`);

  /** As long as RFC 3339 with nanoseconds always is; never twice the same. */
  const timestamp = (): string => {
    const nanoseconds = String(lines++ % 1_000_000).padStart(6, "0");
    return `${new Date(systemClock.now()).toISOString().slice(0, -1)}${nanoseconds}Z`;
  };

  const open = (): void => {
    mkdirSync(directory, { recursive: true });
    const next = openSync(livePath(), "a", 0o640);
    if (handle !== undefined) closeSync(handle);
    handle = next;
    rmSync(link, { force: true });
    symlinkSync(livePath(), link);
  };

  const append = (bytes: string | Buffer): void => {
    if (handle === undefined) throw new Error(`${directory} was deleted`);
    let rest = Buffer.from(bytes);
    while (rest.length > 0) rest = rest.subarray(writeSync(handle, rest));
  };

  const encode = (stream: LogStream, text: Buffer, isPartial: boolean): Buffer => {
    const time = timestamp();
    if (format === "docker-json") {
      const log = `${text.toString()}${isPartial ? "" : "\n"}`;
      return Buffer.from(`${JSON.stringify({ log, stream, time })}\n`);
    }
    const head = Buffer.from(`${time} ${stream} ${isPartial ? "P" : "F"} `);
    return Buffer.concat([head, text, Buffer.from("\n")]);
  };

  /** kubelet's containerLogManager.rotateLog, up to the point where the runtime is asked to reopen. */
  const beginRotation = (): readonly string[] => {
    const removed = removeExcess(removeUnused(rotatedLogs(livePath())), maxFiles);
    for (const path of removed.kept) compress(path);
    rotated = `${livePath()}.${rotationTime(rotations++)}`;
    renameSync(livePath(), rotated);
    return removed.removed.map((path) => basename(path));
  };

  open();
  return {
    directory,
    get restarts() {
      return restarts;
    },
    write(stream, line) {
      const text = Buffer.from(line);
      let from = 0;
      for (; text.length - from > pieceBytes; from += pieceBytes) {
        append(encode(stream, text.subarray(from, from + pieceBytes), true));
      }
      append(encode(stream, text.subarray(from), false));
    },
    writePiece: (stream, text) => append(encode(stream, Buffer.from(text), true)),
    writeRaw: append,
    rotate() {
      const removed = beginRotation();
      open();
      return removed;
    },
    beginRotation,
    reopen: open,
    cancelRotation: () => renameSync(rotated, livePath()),
    restart() {
      restarts++;
      open();
    },
    delete() {
      if (handle !== undefined) closeSync(handle);
      handle = undefined;
      rmSync(link, { force: true });
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

/** Go's layout 20060102-150405. Each rotation is a second later than the last, as real ones are. */
function rotationTime(rotations: number): string {
  const time = new Date(Date.UTC(2026, 0, 2, 15, 4, 5) + rotations * 1000).toISOString();
  return time.slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
}

/** What matches `<log>.*`, oldest first. */
function rotatedLogs(log: string): string[] {
  const directory = join(log, "..");
  return readdirSync(directory)
    .filter((name) => name.startsWith(`${basename(log)}.`))
    .sort()
    .map((name) => join(directory, name));
}

/** Temporary files of an interrupted compression, and logs whose compressed form is complete. */
function removeUnused(logs: readonly string[]): string[] {
  const isUsed = (path: string): boolean => {
    if (path.endsWith(temporarySuffix)) return false;
    return path.endsWith(compressSuffix) || !logs.includes(path + compressSuffix);
  };
  for (const path of logs) if (!isUsed(path)) rmSync(path);
  return logs.filter(isUsed);
}

/** One log is about to be rotated and one about to be made: `maxFiles - 2` others may stay. */
function removeExcess(logs: readonly string[], maxFiles: number) {
  const excess = Math.max(0, logs.length - Math.max(0, maxFiles - 2));
  const removed = logs.slice(0, excess);
  for (const path of removed) rmSync(path);
  return { removed, kept: logs.slice(excess) };
}

function compress(path: string): void {
  if (path.endsWith(compressSuffix)) return;
  writeFileSync(path + temporarySuffix, gzipSync(readFileSync(path)));
  renameSync(path + temporarySuffix, path + compressSuffix);
  rmSync(path);
}
