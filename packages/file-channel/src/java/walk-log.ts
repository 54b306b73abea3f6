import type { FileSystem } from "@millrace/core";
import { FileWindow } from "./file-window.ts";
import type { JavaLog } from "./find-logs.ts";
import {
  createRecordHead,
  entryHeadBytes,
  fillerOp,
  headBytesMax,
  noopOp,
  type RecordHead,
  readRecordHead,
  recordOp,
} from "./record.ts";

/** Bytes that are no record, with records behind them. */
export interface BrokenStretch {
  readonly offset: number;
  readonly bytes: number;
}

export interface LogWalk {
  readonly records: number;
  /** Records that Flume's integrity tool struck out. */
  readonly struckOut: number;
  /** Bytes of an unfinished record at the end. */
  readonly tornBytes: number;
  readonly broken: readonly BrokenStretch[];
}

export interface LogVisitor {
  /** Each record in the file's order; `head` is reused. */
  record(head: RecordHead, offset: number): void;
  /** How far the walk is, now and then. */
  progress?(bytes: number): void;
}

const stretchBytes = 1024 * 1024;
const walkHeadBytes = entryHeadBytes + headBytesMax;

/**
 * Reads the heads of all records of a data file, but no event. What is no record ends the file when
 * no record follows: an agent that was killed, or a power cut, left it. Otherwise it is damage, and the walk goes
 * on behind it.
 */
export async function walkLog(
  files: FileSystem,
  log: JavaLog,
  visitor: LogVisitor,
): Promise<LogWalk> {
  const window = new FileWindow(await files.open(log.path, "read"), log.size, stretchBytes);
  try {
    return await walkWindow(window, log, visitor);
  } finally {
    await window.close();
  }
}

async function walkWindow(window: FileWindow, log: JavaLog, visitor: LogVisitor): Promise<LogWalk> {
  const head = createRecordHead();
  const broken: BrokenStretch[] = [];
  let records = 0;
  let struckOut = 0;
  let tornBytes = 0;
  let contentEnd: number | undefined;
  let at = 0;
  while (at < log.size) {
    const wanted = Math.min(walkHeadBytes, log.size - at);
    if (!window.has(at, wanted)) {
      await window.load(at, wanted);
      visitor.progress?.(at);
    }
    const bytes = window.view(at, Math.min(wanted, window.available(at)));
    if (bytes.length === 0) break;
    if (bytes[0] === fillerOp) {
      contentEnd ??= await endOfContent(window);
      if (at >= contentEnd) break;
    }
    const length = entryLength(bytes, at, log.size);
    // Zeros that a disk lost are no struck out records: what they cover may be a commit.
    const isEntry = bytes[0] === recordOp || bytes[0] === noopOp;
    if (isEntry && length >= 0 && isRecord(bytes, length, log, head)) {
      if (bytes[0] === noopOp) struckOut++;
      else {
        visitor.record(head, at);
        records++;
      }
      at += entryHeadBytes + length;
      continue;
    }
    const next = await findRecord(window, at + 1, log, head);
    if (next < 0) {
      tornBytes = (contentEnd ?? (await endOfContent(window))) - at;
      break;
    }
    broken.push({ offset: at, bytes: next - at });
    at = next;
  }
  return { records, struckOut, tornBytes, broken };
}

/** The length that an entry says it has; -1 when it does not fit into the file. */
function entryLength(bytes: Buffer, at: number, size: number): number {
  if (bytes.length < entryHeadBytes) return -1;
  const length = bytes.readInt32BE(1);
  return length >= 0 && at + entryHeadBytes + length <= size ? length : -1;
}

/** Whether an entry's payload, of which the first bytes are given, begins as a record. */
function isRecord(bytes: Buffer, length: number, log: JavaLog, head: RecordHead): boolean {
  const payload = bytes.subarray(entryHeadBytes, entryHeadBytes + Math.min(length, headBytesMax));
  const clear = log.cipher === undefined ? payload : log.cipher.head(payload);
  return readRecordHead(clear, length, head);
}

/** Where the next record begins, from `from` on; -1 for nowhere. */
async function findRecord(
  window: FileWindow,
  from: number,
  log: JavaLog,
  head: RecordHead,
): Promise<number> {
  let start = from;
  while (start < log.size) {
    if (!window.has(start, Math.min(walkHeadBytes, log.size - start))) {
      await window.load(start, stretchBytes);
    }
    const held = window.available(start);
    if (held === 0) break;
    const bytes = window.view(start, held);
    for (let i = bytes.indexOf(recordOp); i >= 0; i = bytes.indexOf(recordOp, i + 1)) {
      // The last ones are looked at again at the front of the next stretch.
      if (i + walkHeadBytes > held && start + held < log.size) break;
      const entry = bytes.subarray(i, i + walkHeadBytes);
      const length = entryLength(entry, start + i, log.size);
      if (length > 0 && isRecord(entry, length, log, head)) return start + i;
    }
    if (start + held >= log.size) break;
    start += Math.max(1, held - walkHeadBytes);
  }
  return -1;
}

/** Where the filler begins that the file ends with. */
async function endOfContent(window: FileWindow): Promise<number> {
  for (let end = window.size; end > 0;) {
    const start = Math.max(0, end - stretchBytes);
    await window.load(start, end - start);
    const bytes = window.view(start, end - start);
    let last = bytes.length;
    while (last > 0 && bytes[last - 1] === fillerOp) last--;
    if (last > 0) return start + last;
    end = start;
  }
  return 0;
}
