import {
  type Clock,
  type LineReader,
  type LineTaker,
  type Log,
  MillraceError,
  type SourceCounters,
} from "@millrace/core";
import type { StreamName } from "../../lines/container-line.ts";
import { parseLine, recogniseFormat } from "../../lines/log-format.ts";
import { type AssembledEvent, StreamAssembly } from "../../multiline/stream-assembly.ts";
import type { ContainerFiles } from "./container-files.ts";
import type { LogContent, LogFile } from "./log-file.ts";
import type { LogMetrics } from "./log-metrics.ts";
import type { Positions, StreamPosition } from "./position-file.ts";

/** The batch that is being filled. */
export interface Outgoing {
  readonly isFull: boolean;
  add(headers: ReadonlyMap<string, string> | Buffer, body: Buffer): void;
}

export interface ReadContext {
  readonly clock: Clock;
  readonly log: Log;
  readonly counters: SourceCounters;
  readonly metrics: LogMetrics;
  readonly reader: LineReader;
  readonly outgoing: Outgoing;
  readonly maxLineBytes: number;
  readonly idleTimeoutMs: number;
  readonly multilineTimeoutMs: number;
}

/** Where a file's positions are once everything that was read up to now is committed. */
export interface Mark {
  readonly file: LogFile;
  readonly generation: number;
  readonly positions: Positions;
}

/** Reads what one container wrote, file after file, and makes events of it. */
export class ContainerLog {
  readonly files: ContainerFiles;
  /** What an event's first line looks like, where lines are joined. */
  firstLine: RegExp | undefined;
  /** Header `channel` of its events. */
  channel: string | undefined;
  /** Whether it may be read now; its files are kept open before. */
  isReadable = false;
  /** What is there at the first look is not read. */
  isSkipped = false;
  readonly #context: ReadContext;
  readonly #assemblies: Readonly<Record<StreamName, StreamAssembly<LogContent>>>;

  constructor(context: ReadContext, files: ContainerFiles) {
    this.#context = context;
    this.files = files;
    const rules = {
      maxLineBytes: context.maxLineBytes,
      firstLine: () => this.firstLine,
      emit: (event: AssembledEvent, { file }: LogContent) => this.#emit(event, file),
    };
    this.#assemblies = {
      stdout: new StreamAssembly("stdout", rules),
      stderr: new StreamAssembly("stderr", rules),
    };
  }

  /** Reads until the batch is full or there is nothing more now. True when something was read. */
  async read(): Promise<boolean> {
    const { outgoing } = this.#context;
    let hasRead = false;
    for (const [index, file] of [...this.files.files].entries()) {
      const before = this.files.files[index - 1];
      if (before !== undefined && !isPast(before)) break;
      if (await this.#readFile(file)) hasRead = true;
      if (outgoing.isFull) return true;
    }
    return this.#flushLate() || hasRead;
  }

  /** Taken when a batch is handed over, applied when it is committed. */
  marks(): Mark[] {
    return this.files.files.map((file) => ({
      file,
      generation: file.generation,
      positions: {
        stdout: this.#positionIn(file, "stdout"),
        stderr: this.#positionIn(file, "stderr"),
        other: furthest(file.positions.other, file.readTo),
      },
    }));
  }

  /** Leaves what is done with. */
  async settle(): Promise<void> {
    const { clock, idleTimeoutMs } = this.#context;
    for (const file of [...this.files.files]) {
      const isDone = file.isRead && file.isCommitted && this.files.isQuiet(file);
      if (!isDone || !this.files.isEnded(file)) break;
      await this.files.finish(file);
    }
    for (const file of this.files.files) {
      const isIdle = clock.monotonic() - file.changedAtMs >= idleTimeoutMs;
      const isSafe = file.isListed && file.isCommitted && file.head.length > 0;
      if (isIdle && isSafe && file.retiredLooks === 0) await file.close();
    }
  }

  #positionIn(file: LogFile, stream: StreamName): StreamPosition {
    const { pending } = this.#assemblies[stream];
    const committed = file.positions[stream];
    if (pending === undefined) return furthest(committed, file.readTo);
    const { file: content, offset, resume } = pending;
    const first = content.file;
    if (content === file.content) return resume === undefined ? { offset } : { offset, resume };
    // What it has of the stream belongs to an event that began in an older file.
    if (first.sequence < file.sequence) return committed;
    return furthest(committed, file.readTo);
  }

  async #readFile(file: LogFile): Promise<boolean> {
    const { counters, log, reader } = this.#context;
    const isFinal = this.files.isEnded(file) && this.files.isQuiet(file);
    if (file.isRead && !(isFinal && file.readTo < file.size)) return false;
    const startedAt = file.readTo;
    const upTo = file.size;
    try {
      if (!(await this.files.reopen(file)) || file.open === undefined) return false;
      const range = { from: file.readTo, upTo, isFinal };
      const end = await reader.read(file, file.open, range, this.#taker(file));
      file.isFailing = false;
      if (end === "replaced") this.files.restart(file);
      else if (!this.#context.outgoing.isFull) file.partialAtSize = upTo;
      if (isFinal && end !== "replaced" && file.isRead && file.readTo < upTo) {
        await this.files.lose(file, "log is shorter than it says");
      }
    } catch (error) {
      if (error instanceof MillraceError) throw error;
      const why = error instanceof Error ? error.message : String(error);
      if (isDamage(error)) {
        await this.files.lose(file, `compressed log is damaged (${why})`);
        return true;
      }
      counters.EventReadFail++;
      const path = this.files.directory;
      if (!file.isFailing) {
        log.warn(`a log cannot be read, and is tried again: ${why}`, { code: "READ_FAILED", path });
      }
      file.isFailing = true;
    }
    return file.readTo > startedAt;
  }

  #taker(file: LogFile): LineTaker {
    const { outgoing } = this.#context;
    return {
      get isFull() {
        return outgoing.isFull;
      },
      take: (line, at, isCut, next) => {
        this.#take(file, line, at, isCut);
        file.readTo = next;
      },
    };
  }

  #take(file: LogFile, line: Buffer, at: number, isCut: boolean): void {
    const long = file.longLine;
    if (long !== undefined) {
      if (!isCut) file.longLine = undefined;
      if (long.line === undefined) return this.#sendAsIs(file, line, at);
      const isPartial = long.line.isPartial || isCut;
      const text = isPartial ? line : withoutReturn(line);
      const textBefore = long.textBytes;
      long.textBytes += line.length;
      return this.#give(file, { ...long.line, text, isPartial }, long.offset, textBefore);
    }
    file.format ??= recogniseFormat(line);
    const parsed = file.format === undefined ? undefined : parseLine(file.format, line);
    if (isCut) {
      const { stream, timestampMs, isPartial } = parsed ?? noLine;
      const first = parsed === undefined ? undefined : { stream, timestampMs, isPartial };
      file.longLine = { offset: at, line: first, textBytes: parsed?.text.length ?? 0 };
    }
    if (parsed === undefined) return this.#sendAsIs(file, line, at);
    const isPartial = parsed.isPartial || isCut;
    const isOwn = isPartial || file.format !== "cri";
    const text = isOwn ? parsed.text : withoutReturn(parsed.text);
    this.#give(file, { ...parsed, text, isPartial }, at, 0);
  }

  #give(
    file: LogFile,
    line: Parameters<StreamAssembly<LogContent>["take"]>[0],
    offset: number,
    textBefore: number,
  ): void {
    const committed = file.positions[line.stream];
    if (offset < committed.offset) return;
    const assembly = this.#assemblies[line.stream];
    const { pending } = assembly;
    if (pending !== undefined && !mayGoOn(pending.file, file)) assembly.flush();
    const isThere = offset === committed.offset && textBefore === 0;
    if (isThere && committed.resume !== undefined && assembly.pending === undefined) {
      assembly.resume(committed.resume);
    }
    assembly.take(
      line,
      { file: file.content, offset, textBefore },
      this.#context.clock.monotonic(),
    );
  }

  /** A line of no known form is not lost: it is an event of no stream. */
  #sendAsIs(file: LogFile, line: Buffer, at: number): void {
    if (at < file.positions.other.offset) return;
    const { metrics, outgoing } = this.#context;
    metrics.foreignLines.value++;
    outgoing.add(file.headerMap(undefined, this.channel), line);
  }

  #emit({ body, hasMore, part, stream, timestampMs }: AssembledEvent, file: LogFile): void {
    const { metrics, outgoing } = this.#context;
    if (part === undefined) {
      outgoing.add(file.headers(stream, timestampMs, this.channel), body);
      return;
    }
    metrics.cutParts.value++;
    const headers = file.headerMap(stream, this.channel);
    headers.set("part", String(part)).set("more", String(hasMore));
    outgoing.add(headers.set("timestamp", String(timestampMs)), body);
  }

  /** Sends what has waited long enough for its next line. */
  #flushLate(): boolean {
    const { clock, idleTimeoutMs, multilineTimeoutMs } = this.#context;
    const { files } = this.files;
    if (!files.every((file) => file.isRead)) return false;
    const isOver = this.files.isGone && files.every((file) => this.files.isQuiet(file));
    let hasFlushed = false;
    for (const assembly of Object.values(this.#assemblies)) {
      if (assembly.pending === undefined) continue;
      const waitMs = assembly.isLineOpen ? idleTimeoutMs : multilineTimeoutMs;
      const isLate = clock.monotonic() - assembly.changedAtMs >= waitMs;
      if (!isLate && !isOver) continue;
      assembly.flush();
      hasFlushed = true;
    }
    return hasFlushed;
  }
}

const carriageReturn = 13;
const noLine = { stream: "stdout", timestampMs: 0, isPartial: false } as const;

/** Whether what comes after this file may be read: nothing is under way to it any more. */
function isPast(file: LogFile): boolean {
  const isStill = file.retiredLooks === 0 || file.name.isCompressed;
  return file.readTo >= file.size && (isStill || file.retiredLooks >= 2);
}

/** A carriage return is part of a line's end; within a line, between two pieces, it is the container's own. */
function withoutReturn(text: Buffer): Buffer {
  return text.at(-1) === carriageReturn ? text.subarray(0, -1) : text;
}

/** Another life of the container does not go on with what the last one began, nor a log that was cut. */
function mayGoOn(begun: LogContent, file: LogFile): boolean {
  const isOneLife = begun.file.name.restarts === file.name.restarts;
  return isOneLife && begun === begun.file.content;
}

function furthest(committed: StreamPosition, readTo: number): StreamPosition {
  return readTo <= committed.offset ? committed : { offset: readTo };
}

/** What zlib says of bytes that no one compressed like that. */
function isDamage(error: unknown): boolean {
  return error instanceof Error && "code" in error && String(error.code).startsWith("Z_");
}
