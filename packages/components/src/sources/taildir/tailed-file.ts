import {
  encodeHeaders,
  fileKey,
  type FileHandle,
  type FileStat,
  hashHead,
  type ReadableFile,
} from "@millrace/core";
import type { FileGroup, TaildirOptions } from "./options.ts";
import type { SavedFile } from "./position-file.ts";

/** One file that is followed, under whatever name it has. */
export class TailedFile implements ReadableFile {
  readonly key: string;
  readonly inode: number;
  group: FileGroup;
  path: string;
  /** Whether its group's pattern matched it when last looked; else it was renamed away or deleted. */
  isListed = true;
  /** Open while the file grows: what is renamed or deleted can be read to its end. */
  handle: FileHandle | undefined;
  size: number;
  modifiedMs: number;
  /** Bytes that are committed. */
  position = 0;
  /** Bytes that are in batches; ahead of `position` while a channel is full. */
  readTo = 0;
  /** Its first bytes, as many as were seen, up to `headBytesMax`. */
  head: Buffer;
  /** Counts the times that the file began anew: a batch of an earlier one moves no position. */
  generation = 0;
  /** At this size the bytes behind `position` hold no line feed. */
  partialAtSize = -1;
  /** It may hold something else by now: its first bytes are to be looked at. */
  isSuspect = false;
  /** When it last grew, or was renamed away, on the monotonic clock. */
  changedAtMs: number;
  /** A failure to read it was logged. */
  isFailing = false;
  #headers:
    { path: string; group: FileGroup; map: ReadonlyMap<string, string>; bytes: Buffer } | undefined;
  #hashed: { head: Buffer; hash: string } | undefined;

  constructor(
    group: FileGroup,
    path: string,
    handle: FileHandle,
    stat: FileStat,
    head: Buffer,
    nowMs: number,
  ) {
    this.key = fileKey(stat);
    this.inode = stat.inode;
    this.group = group;
    this.path = path;
    this.handle = handle;
    this.size = stat.size;
    this.modifiedMs = stat.modifiedMs;
    this.head = head;
    this.changedAtMs = nowMs;
  }

  /** Whether there is nothing more to read, but for the beginning of a line. */
  get isRead(): boolean {
    return this.position >= this.size || this.partialAtSize === this.size;
  }

  /** Headers of all its events, once as they are and once encoded. */
  headers(options: TaildirOptions): { map: ReadonlyMap<string, string>; bytes: Buffer } {
    const known = this.#headers;
    if (known?.path === this.path && known.group === this.group) return known;
    const map = new Map(this.group.headers);
    if (options.hasFileHeader) map.set(options.fileHeaderKey, this.path);
    this.#headers = { path: this.path, group: this.group, map, bytes: encodeHeaders(map) };
    return this.#headers;
  }

  /** Whether these are the first bytes of the content that was followed so far. */
  beginsAs(head: Buffer): boolean {
    return head.subarray(0, this.head.length).equals(this.head);
  }

  /** Another content has begun in it. */
  restart(): void {
    this.position = 0;
    this.readTo = 0;
    this.head = noBytes;
    this.generation++;
    this.partialAtSize = -1;
  }

  toSaved(): SavedFile {
    const { head, inode, path, position, size } = this;
    if (this.#hashed?.head !== head) this.#hashed = { head, hash: hashHead(head) };
    const fingerprint = { size, headBytes: head.length, head: this.#hashed.hash };
    return { inode, pos: position, file: path, fingerprint };
  }

  async close(): Promise<void> {
    const { handle } = this;
    this.handle = undefined;
    await handle?.close().catch(() => {});
  }
}

const noBytes = Buffer.alloc(0);
