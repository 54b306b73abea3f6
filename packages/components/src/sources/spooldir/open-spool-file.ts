import {
  type DeserializedEvent,
  encodeHeaders,
  type EventBatch,
  EventBatchBuilder,
  type EventDeserializer,
  type FileHandle,
  type FileStat,
  type FileSystem,
  type MakeDeserializer,
  MillraceError,
  systemErrorCode,
  toMillraceError,
} from "@millrace/core";
import { resolve } from "node:path";
import type { SpooldirOptions } from "./options.ts";
import type { SpoolFile } from "./spool-listing.ts";

/** Events that are read and not yet both committed and recorded. */
export interface PendingBatch {
  readonly batch: EventBatch;
  readonly endOffset: number;
  /** Nothing follows in the file. */
  readonly isLast: boolean;
  /** Every required channel has it: it is never handed over again. */
  isCommitted: boolean;
}

/** The file that is being read. */
export class OpenSpoolFile {
  readonly file: SpoolFile;
  readonly stat: FileStat;
  pending: PendingBatch | undefined;
  /** Everything of it is committed. */
  isRead = false;
  /** It is renamed, marked or deleted. */
  isFinished = false;
  /** Bytes read into batches. */
  position: number;
  readonly #handle: FileHandle;
  readonly #deserializer: EventDeserializer;
  readonly #headers: ReadonlyMap<string, string>;
  readonly #encodedHeaders: Buffer;

  constructor(
    file: SpoolFile,
    handle: FileHandle,
    stat: FileStat,
    startOffset: number,
    options: SpooldirOptions,
    makeDeserializer: MakeDeserializer,
  ) {
    this.file = file;
    this.stat = stat;
    this.position = startOffset;
    this.#handle = handle;
    this.#headers = headersOf(file, options);
    this.#encodedHeaders = encodeHeaders(this.#headers);
    this.#deserializer = makeDeserializer({
      path: file.path,
      startOffset,
      charset: options.inputCharset,
      decodeErrorPolicy: options.decodeErrorPolicy,
      read: (into, offset, length, position) => handle.read(into, offset, length, position),
    });
  }

  /**
   * Reads the next batch into `pending`, or finds that everything is read. Throws UNDECODABLE, or
   * READ_FAILED; after that the same read can be tried again.
   */
  async readBatch(batchSize: number): Promise<void> {
    let events: DeserializedEvent[];
    try {
      events = await this.#deserializer.read(batchSize);
    } catch (error) {
      throw toMillraceError(error, "READ_FAILED", `${this.file.path} at byte ${this.position}`);
    }
    const builder = new EventBatchBuilder();
    for (const { headers, body } of events) {
      builder.add(headers.size === 0 ? this.#encodedHeaders : this.#merge(headers), body);
    }
    // Flume's way to show that an empty file came by.
    if (this.stat.size === 0 && events.length === 0) builder.add(this.#encodedHeaders, noBytes);
    const endOffset = events.at(-1)?.endOffset ?? this.position;
    const isLast = endOffset >= this.stat.size;
    this.position = endOffset;
    if (builder.length === 0) this.isRead = true;
    else this.pending = { batch: builder.build(), endOffset, isLast, isCommitted: false };
  }

  #merge(headers: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
    return new Map([...headers, ...this.#headers]);
  }

  async close(): Promise<void> {
    await this.#handle.close().catch(() => {});
  }
}

const noBytes = Buffer.alloc(0);

function headersOf(file: SpoolFile, options: SpooldirOptions): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  if (options.hasFileHeader) headers.set(options.fileHeaderKey, resolve(file.path));
  if (options.hasBasenameHeader) headers.set(options.basenameHeaderKey, file.name);
  return headers;
}

/** Throws FILE_CHANGED unless the file is what it was when it was opened. */
export async function assertUnchanged(files: FileSystem, open: OpenSpoolFile): Promise<void> {
  const { path } = open.file;
  const was = open.stat;
  let is: FileStat | undefined;
  try {
    is = await files.stat(path);
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") throw error;
  }
  const isSame =
    is?.size === was.size && is.modifiedMs === was.modifiedMs && is.inode === was.inode;
  if (isSame) return;
  const now =
    is === undefined ? "is gone" : `has ${is.size} bytes, modified at ${is.modifiedMs} ms`;
  throw new MillraceError(
    "FILE_CHANGED",
    `${path} changed while it was read: it had ${was.size} bytes, modified at ${was.modifiedMs} ms, ` +
      `and now ${now}; move only finished files into the spool directory`,
    { context: { path } },
  );
}
