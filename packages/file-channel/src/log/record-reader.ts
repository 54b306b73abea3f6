import type { FileHandle } from "@millrace/core";
import { crc32 } from "node:zlib";
import { alignUp } from "../format/bytes.ts";
import {
  decodeRecordHead,
  recordBytes,
  recordFlag,
  type RecordHead,
  recordHeadBytes,
  recordType,
} from "../format/record.ts";
import { openBody } from "../format/sealed-body.ts";

/** A record that verified. `ext` and `body` are views, good until the next read. */
export interface ReadRecord {
  readonly head: RecordHead;
  readonly offset: number;
  /** Where the next record begins. */
  readonly end: number;
  readonly ext: Buffer;
  readonly body: Buffer;
  /** The body is encrypted, and the reader was opened without keys. */
  readonly sealed: boolean;
}

export interface RecordReaderOptions {
  readonly salt: Buffer;
  readonly align: number;
  /** Nothing at or behind it is read. */
  readonly limit: number;
  readonly windowBytes: number;
  /** Whether the bodies of PUTs are encrypted, and what opens them. */
  readonly sealed?: boolean;
  readonly dataKey?: Buffer | undefined;
}

/** Reads records of one segment through a window of a few MiB; verifies each. */
export class RecordReader {
  readonly #handle: FileHandle;
  readonly #salt: Buffer;
  readonly #align: number;
  #limit: number;
  readonly #windowBytes: number;
  readonly #sealed: boolean;
  readonly #dataKey: Buffer | undefined;
  #window: Buffer = Buffer.alloc(0);
  #windowAt = 0;
  #windowEnd = 0;

  constructor(handle: FileHandle, options: RecordReaderOptions) {
    this.#handle = handle;
    this.#salt = options.salt;
    this.#align = options.align;
    this.#limit = options.limit;
    this.#windowBytes = options.windowBytes;
    this.#sealed = options.sealed ?? false;
    this.#dataKey = options.dataKey;
  }

  /** What is written behind the limit may be read from now on. */
  extend(limit: number): void {
    this.#limit = limit;
  }

  /** The head at `offset` when it verifies; says nothing about its body. */
  async head(offset: number): Promise<RecordHead | undefined> {
    if (!(await this.#load(offset, recordHeadBytes))) return undefined;
    return decodeRecordHead(this.#window, offset - this.#windowAt, this.#salt);
  }

  /** The record at `offset`, or undefined when it does not verify whole. */
  async read(offset: number): Promise<ReadRecord | undefined> {
    const head = await this.head(offset);
    if (head === undefined) return undefined;
    const contentBytes = head.extBytes + head.bodyBytes;
    if (!(await this.#load(offset, recordHeadBytes + contentBytes))) return undefined;
    const extAt = offset - this.#windowAt + recordHeadBytes;
    const bodyAt = extAt + head.extBytes;
    const content = this.#window.subarray(extAt, extAt + contentBytes);
    if (crc32(content) !== head.bodyCrc) return undefined;
    const stored = this.#window.subarray(bodyAt, bodyAt + head.bodyBytes);
    const sealed = this.#sealed && head.type === recordType.put;
    const dataKey = sealed ? this.#dataKey : undefined;
    const start = this.#window.subarray(extAt - recordHeadBytes, bodyAt);
    const body = dataKey === undefined ? stored : openBody(dataKey, start, stored);
    if (body === undefined) return undefined;
    return {
      head,
      offset,
      end: this.endOf(head, offset),
      ext: this.#window.subarray(extAt, bodyAt),
      body,
      sealed: sealed && dataKey === undefined,
    };
  }

  /** Where the record behind this one begins. */
  endOf(head: RecordHead, offset: number): number {
    const end = offset + recordBytes(head.extBytes, head.bodyBytes);
    return (head.flags & recordFlag.last) !== 0 ? alignUp(end, this.#align) : end;
  }

  /** The first record at or behind `from`, at a multiple of `step`, that verifies and is wanted. */
  async find(
    from: number,
    step: number,
    wanted: (head: RecordHead, offset: number) => boolean,
  ): Promise<ReadRecord | undefined> {
    for (
      let offset = alignUp(from, step);
      offset + recordHeadBytes <= this.#limit;
      offset += step
    ) {
      if (offset < this.#windowAt || offset + recordHeadBytes > this.#windowEnd) {
        if (!(await this.#load(offset, recordHeadBytes))) return undefined;
      }
      const head = decodeRecordHead(this.#window, offset - this.#windowAt, this.#salt);
      if (head === undefined || !wanted(head, offset)) continue;
      const record = await this.read(offset);
      if (record !== undefined) return record;
    }
    return undefined;
  }

  async #load(offset: number, length: number): Promise<boolean> {
    if (offset + length > this.#limit) return false;
    if (offset >= this.#windowAt && offset + length <= this.#windowEnd) return true;
    const want = Math.min(Math.max(length, this.#windowBytes), this.#limit - offset);
    if (this.#window.length < want) this.#window = Buffer.allocUnsafeSlow(want);
    this.#windowAt = offset;
    this.#windowEnd = offset;
    while (this.#windowEnd < offset + want) {
      const at = this.#windowEnd - offset;
      const read = await this.#handle.read(this.#window, at, want - at, this.#windowEnd);
      if (read === 0) break;
      this.#windowEnd += read;
    }
    return this.#windowEnd >= offset + length;
  }
}
