import {
  encodeHeaders,
  fileKey,
  hashHead,
  headBytesMax,
  readHead,
  type ReadableFile,
} from "@millrace/core";
import type { ContainerLine } from "../../lines/container-line.ts";
import type { LogFormat } from "../../lines/log-format.ts";
import type { LogName } from "../../rotation/log-name.ts";
import type { OpenLog } from "./open-log.ts";
import { firstOffset, type Positions, positionsAt, type SavedLog } from "./position-file.ts";

/** Whose logs a directory holds, by kubelet's names. */
export interface ContainerId {
  readonly namespace: string;
  readonly pod: string;
  readonly uid: string;
  readonly container: string;
}

/** A line that is longer than the reader gives at once: what its first piece said. */
export interface LongLine {
  readonly offset: number;
  /** Undefined when it is of no known form. */
  readonly line: Omit<ContainerLine, "text"> | undefined;
  textBytes: number;
}

/** What a file held from one beginning to the next: lines of two contents do not belong together. */
export interface LogContent {
  readonly file: LogFile;
}

/** One file of a container's log that is not done with, under whatever name it has. */
export class LogFile implements ReadableFile {
  key: string;
  readonly inode: number;
  /** Its place among the files of its container. */
  readonly sequence: number;
  /** As last seen in the directory. */
  name: LogName;
  /** Whether its directory had it when last looked; else it is deleted. */
  isListed = true;
  /** Nothing is written to it any more, but for what was under way: since how many looks. */
  retiredLooks = 0;
  /** Open while it may be read or rotated away. */
  open: OpenLog | undefined;
  head: Buffer;
  generation = 0;
  /** Another one after each time that it began anew. */
  content: LogContent = { file: this };
  /** Of the plain form, as last seen. */
  size: number;
  /** Where the next line begins: ahead of `positions` while lines are in a batch or held. */
  readTo: number;
  /** What is committed. */
  positions: Positions;
  /** At this size the bytes behind `readTo` hold no line feed. */
  partialAtSize = -1;
  /** When it last grew, was rotated or deleted, on the monotonic clock. */
  changedAtMs: number;
  format: LogFormat | undefined;
  longLine: LongLine | undefined;
  isFailing = false;
  /** Its first bytes are recorded, or about to be. */
  isKnown = false;
  readonly #id: ContainerId;
  readonly #headers = new Map<string, Buffer>();
  #hashed: { readonly head: Buffer; readonly hash: string } | undefined;

  constructor(
    id: ContainerId,
    name: LogName,
    sequence: number,
    opened: OpenLog,
    size: number,
    nowMs: number,
  ) {
    this.#id = id;
    this.key = fileKey(opened.stat);
    this.inode = opened.stat.inode;
    this.sequence = sequence;
    this.name = name;
    this.open = opened;
    this.head = opened.head;
    this.size = size;
    this.positions = positionsAt(0);
    this.readTo = 0;
    this.changedAtMs = nowMs;
  }

  /** Whether there is nothing more to read, but for the beginning of a line. */
  get isRead(): boolean {
    return this.readTo >= this.size || this.partialAtSize === this.size;
  }
  get isCommitted(): boolean {
    return firstOffset(this.positions) >= this.size;
  }
  get uncommittedBytes(): number {
    return Math.max(0, this.size - firstOffset(this.positions));
  }

  beginsAs(head: Buffer): boolean {
    return head.subarray(0, this.head.length).equals(this.head);
  }

  /** Looks at the first bytes again while there may be more of them. */
  async learnHead(): Promise<void> {
    if (this.open === undefined || this.head.length >= headBytesMax) return;
    const head = await readHead(this.open);
    if (this.beginsAs(head)) this.head = head;
  }

  moveTo(positions: Positions): void {
    this.positions = positions;
    this.readTo = firstOffset(positions);
    this.longLine = undefined;
  }

  /** Another content has begun in it. */
  restart(): void {
    this.moveTo(positionsAt(0));
    this.head = Buffer.alloc(0);
    this.generation++;
    this.content = { file: this };
    this.partialAtSize = -1;
    this.format = undefined;
  }

  /** Takes over another form of the same content: what was compressed, or linked elsewhere. */
  async takeForm(opened: OpenLog, name: LogName): Promise<void> {
    await this.close();
    this.open = opened;
    this.key = fileKey(opened.stat);
    this.name = name;
    this.size = await opened.size();
  }

  async close(): Promise<void> {
    const { open } = this;
    this.open = undefined;
    await open?.close().catch(() => {});
  }

  /** The headers of an event, encoded; all of a stream differ in the time only. The bytes are lent. */
  headers(stream: string, timestampMs: number, channel: string | undefined): Buffer {
    const digits = String(timestampMs);
    if (digits.length !== timeDigits) {
      return encodeHeaders(this.headerMap(stream, channel).set("timestamp", digits));
    }
    const key = `${stream} ${channel ?? ""}`;
    let bytes = this.#headers.get(key);
    if (bytes === undefined) {
      bytes = encodeHeaders(this.headerMap(stream, channel).set("timestamp", digits));
      this.#headers.set(key, bytes);
    }
    bytes.write(digits, bytes.length - 1 - timeDigits, "latin1");
    return bytes;
  }

  headerMap(stream: string | undefined, channel: string | undefined): Map<string, string> {
    const { namespace, pod, uid, container } = this.#id;
    const map = new Map([
      ["namespace", namespace],
      ["pod", pod],
      ["uid", uid],
      ["container", container],
      ["restarts", String(this.name.restarts)],
    ]);
    if (channel !== undefined) map.set("channel", channel);
    if (stream !== undefined) map.set("stream", stream);
    return map;
  }

  toSaved(): SavedLog {
    const { head, inode, name, positions, size } = this;
    if (this.#hashed?.head !== head) this.#hashed = { head, hash: hashHead(head) };
    return { name, inode, size, headBytes: head.length, head: this.#hashed.hash, positions };
  }
}

/** Milliseconds from September 2001 to November 2286. */
const timeDigits = 13;
