import { EventBatch, EventBatchBuilder, type FileSystem } from "@millrace/core";
import { FileWindow } from "./file-window.ts";
import type { JavaLog } from "./find-logs.ts";
import type { PointerList } from "./pointer-list.ts";
import {
  createRecordHead,
  entryHeadBytes,
  fillerOp,
  type JavaEvent,
  noopOp,
  readPut,
  recordOp,
} from "./record.ts";

/** An event that is waiting and cannot be read. */
export interface JavaDamage {
  readonly file: string;
  readonly offset: number;
  readonly what: string;
}

export interface ReadLimits {
  readonly eventsMax: number;
  /** Of bodies; a single event may be larger. */
  readonly bytesMax: number;
}

/** Events that follow each other in the order of delivery. */
export interface JavaBatch {
  readonly batch: EventBatch;
  /** Position behind the last event of the batch, and behind those that were left out. */
  readonly end: number;
  readonly damages: readonly JavaDamage[];
  /** Events that Flume's integrity tool struck out. */
  readonly struckOut: number;
}

const stretchBytes = 256 * 1024;
const openFilesMax = 16;

/** Reads the waiting events from position `from` on, in order, in memory of one batch and a few windows. */
export async function* readEvents(
  files: FileSystem,
  logs: readonly JavaLog[],
  waiting: PointerList,
  from: number,
  { eventsMax, bytesMax }: ReadLimits,
): AsyncGenerator<JavaBatch> {
  const byId = new Map(logs.map((log) => [log.id, log]));
  const windows = new OpenWindows(files);
  try {
    for (let position = from; position < waiting.length;) {
      const builder = new EventBatchBuilder();
      const damages: JavaDamage[] = [];
      let struckOut = 0;
      let bytes = 0;
      while (position < waiting.length && builder.length < eventsMax && bytes < bytesMax) {
        const offset = waiting.offset(position);
        const log = byId.get(waiting.file(position)) as JavaLog;
        position++;
        const read = await readEvent(await windows.of(log), log, offset);
        if (read === "struck out") struckOut++;
        else if (typeof read === "string") damages.push({ file: log.path, offset, what: read });
        else {
          builder.add(read.headers, read.body);
          bytes += read.body.length;
        }
      }
      const batch = builder.length === 0 ? EventBatch.empty : builder.build();
      yield { batch, end: position, damages, struckOut };
    }
  } finally {
    await windows.close();
  }
}

const head = createRecordHead();

/** The event that was put there; a text says why it cannot be read. */
async function readEvent(
  window: FileWindow,
  { size, cipher }: JavaLog,
  offset: number,
): Promise<JavaEvent | string> {
  const left = size - offset;
  if (left < entryHeadBytes) return "the file ends before the record";
  if (!window.has(offset, entryHeadBytes)) await window.load(offset, entryHeadBytes);
  const start = window.view(offset, entryHeadBytes);
  if (start.length < entryHeadBytes) return "the file ends before the record";
  const length = start.readInt32BE(1);
  if (start[0] === noopOp) return length > 0 ? "struck out" : "zeros stand there";
  if (start[0] === fillerOp) return "no record was written there";
  if (start[0] !== recordOp) return "no record begins there";
  if (length < 0 || length > left - entryHeadBytes) return "the record is longer than the file";
  const entryBytes = entryHeadBytes + length;
  if (!window.has(offset, entryBytes)) await window.load(offset, entryBytes);
  const payload = window.view(offset, entryBytes).subarray(entryHeadBytes);
  return readPut(cipher === undefined ? payload : cipher.whole(payload), head);
}

/** Windows on the files that were read last. */
class OpenWindows {
  readonly #files: FileSystem;
  readonly #open = new Map<number, FileWindow>();

  constructor(files: FileSystem) {
    this.#files = files;
  }

  async of(log: JavaLog): Promise<FileWindow> {
    let window = this.#open.get(log.id);
    if (window !== undefined) {
      if (this.#open.size > 1) {
        this.#open.delete(log.id);
        this.#open.set(log.id, window);
      }
      return window;
    }
    const [oldest] = this.#open;
    if (oldest !== undefined && this.#open.size >= openFilesMax) {
      this.#open.delete(oldest[0]);
      await oldest[1].close();
    }
    window = new FileWindow(await this.#files.open(log.path, "read"), log.size, stretchBytes);
    this.#open.set(log.id, window);
    return window;
  }

  async close(): Promise<void> {
    for (const window of this.#open.values()) await window.close();
    this.#open.clear();
  }
}
