import type { ContainerLine, StreamName } from "../lines/container-line.ts";
import { matchedBytesMax } from "./first-line-pattern.ts";

/** An event's body, put together from one stream of one container. */
export interface AssembledEvent {
  readonly stream: StreamName;
  /** Of its first line. */
  readonly timestampMs: number;
  readonly body: Buffer;
  /** From 1, where a body that is too long was cut; undefined for a whole one. */
  readonly part: number | undefined;
  /** Further parts follow. */
  readonly hasMore: boolean;
}

/** How to go on within an event whose first parts were sent. */
export interface Resume {
  /** Parts that were sent. */
  readonly part: number;
  /** Bytes that the line at the position adds to the event and that were sent with them. */
  readonly skip: number;
  /** Whether that line adds a line feed before its text. */
  readonly isJoint: boolean;
}

/** Where the first line begins that is not wholly in an event yet. */
export interface PendingStart<F> {
  readonly file: F;
  readonly offset: number;
  readonly resume: Resume | undefined;
}

/** Where a line was found. `textBefore`: bytes of the same line's text that were given before. */
export interface LinePlace<F> {
  readonly file: F;
  readonly offset: number;
  readonly textBefore: number;
}

export interface AssemblyRules<F> {
  readonly maxLineBytes: number;
  /** What an event's first line looks like; undefined where each line is an event. */
  firstLine(): RegExp | undefined;
  /** The body is lent: its bytes change after the call. */
  emit(event: AssembledEvent, file: F): void;
}

const lineFeed = Buffer.from("\n");
const noBytes = Buffer.alloc(0);
const blockBytesMin = 1024;

/**
 * Joins the pieces of one stream to lines, and lines to events. It remembers where the first line
 * of the event begins that it still holds: up to there, and not further, the stream is done with.
 * `F` is whatever stands for a file.
 */
export class StreamAssembly<F> {
  readonly #stream: StreamName;
  readonly #rules: AssemblyRules<F>;
  #start: PendingStart<F> | undefined;
  #resume: Resume | undefined;
  /** What the event has so far, in its first `#bytes`: one block, however short its lines are. */
  #body: Buffer = noBytes;
  #bytes = 0;
  #timestampMs = 0;
  /** Parts of the event that were sent. */
  #part = 0;
  /** What the line at hand has added to the event, its joint included. */
  #lineBytes = 0;
  #isJoint = false;
  #toSkip = 0;
  #isLineOpen = false;
  #changedAtMs = 0;

  constructor(stream: StreamName, rules: AssemblyRules<F>) {
    this.#stream = stream;
    this.#rules = rules;
  }

  /** Undefined when nothing is held. */
  get pending(): PendingStart<F> | undefined {
    return this.#start;
  }

  /** The last piece said that its line goes on. */
  get isLineOpen(): boolean {
    return this.#isLineOpen;
  }

  /** When the last line came, on the monotonic clock. */
  get changedAtMs(): number {
    return this.#changedAtMs;
  }

  /** The next line is the one that the last run was at. */
  resume(resume: Resume): void {
    this.#resume = resume;
  }

  take(line: ContainerLine, place: LinePlace<F>, nowMs: number): void {
    this.#changedAtMs = nowMs;
    const isNewLine = !this.#isLineOpen && place.textBefore === 0;
    if (this.#resume === undefined && this.#start !== undefined && isNewLine) {
      if (!this.#continues(line.text)) this.flush();
    }
    if (this.#start === undefined && this.#isWholeEvent(line)) {
      const { text: body, timestampMs, stream } = line;
      this.#rules.emit({ stream, timestampMs, body, part: undefined, hasMore: false }, place.file);
      return;
    }
    this.#begin(line, place);
    this.#append(line.text);
    this.#isLineOpen = line.isPartial;
    this.#cut(place);
    if (!line.isPartial && this.#rules.firstLine() === undefined) this.flush();
  }

  /** Sends what is held as an event. */
  flush(): void {
    if (this.#start === undefined) return;
    const { file } = this.#start;
    const part = this.#part > 0 ? this.#part + 1 : undefined;
    this.#emit(this.#joined(), part, false, file);
    this.#start = undefined;
    this.#body = noBytes;
    this.#bytes = 0;
    this.#part = 0;
    this.#isLineOpen = false;
  }

  #isWholeEvent({ isPartial, text }: ContainerLine): boolean {
    if (isPartial || this.#resume !== undefined) return false;
    return this.#rules.firstLine() === undefined && text.length <= this.#rules.maxLineBytes;
  }

  /** Opens an event, or a line within the one that is open. */
  #begin(line: ContainerLine, place: LinePlace<F>): void {
    if (place.textBefore === 0) this.#lineBytes = 0;
    if (this.#start === undefined) {
      const { file, offset } = place;
      const resume = this.#resume;
      this.#resume = undefined;
      this.#start = { file, offset, resume };
      this.#timestampMs = line.timestampMs;
      this.#part = resume?.part ?? 0;
      this.#toSkip = resume?.skip ?? 0;
      this.#isJoint = resume?.isJoint ?? false;
    } else if (place.textBefore === 0) this.#isJoint = !this.#isLineOpen;
    else this.#isJoint = this.#isJoint && this.#lineBytes > 0;
    if (this.#isJoint && place.textBefore === 0) this.#append(lineFeed);
  }

  #append(bytes: Buffer): void {
    this.#lineBytes += bytes.length;
    const skipped = Math.min(this.#toSkip, bytes.length);
    this.#toSkip -= skipped;
    if (skipped === bytes.length) return;
    const added = bytes.length - skipped;
    if (this.#bytes + added > this.#body.length) this.#grow(this.#bytes + added);
    bytes.copy(this.#body, this.#bytes, skipped);
    this.#bytes += added;
  }

  /** Sends parts of an event that has become too long. What is left is of the line at hand. */
  #cut({ file, offset }: LinePlace<F>): void {
    const { maxLineBytes } = this.#rules;
    if (this.#bytes <= maxLineBytes) return;
    let rest = this.#joined();
    while (rest.length > maxLineBytes) {
      this.#part++;
      this.#emit(rest.subarray(0, maxLineBytes), this.#part, true, file);
      rest = rest.subarray(maxLineBytes);
    }
    this.#body = Buffer.from(rest);
    this.#bytes = rest.length;
    const skip = this.#lineBytes - rest.length;
    this.#start = { file, offset, resume: { part: this.#part, skip, isJoint: this.#isJoint } };
  }

  #continues(text: Buffer): boolean {
    const pattern = this.#rules.firstLine();
    return pattern !== undefined && !pattern.test(text.subarray(0, matchedBytesMax).toString());
  }

  #grow(bytes: number): void {
    const grown = Buffer.allocUnsafe(Math.max(bytes, this.#body.length * 2, blockBytesMin));
    this.#body.copy(grown, 0, 0, this.#bytes);
    this.#body = grown;
  }

  #joined(): Buffer {
    return this.#body.subarray(0, this.#bytes);
  }

  #emit(body: Buffer, part: number | undefined, hasMore: boolean, file: F): void {
    const timestampMs = this.#timestampMs;
    this.#rules.emit({ stream: this.#stream, timestampMs, body, part, hasMore }, file);
  }
}
