import {
  type EventBatch,
  expandHome,
  MillraceError,
  type PollableSource,
  type PollBackoff,
  sleep,
  type SourceContext,
  systemErrorCode,
  toMillraceError,
} from "@millrace/core";
import { dirname } from "node:path";
import { FileTracker } from "./file-tracker.ts";
import { type LineBatch, LineBatches } from "./line-batches.ts";
import { type FileGroup, parseFileGroups, type TaildirOptions } from "./options.ts";
import { loadPositions, type SavedFile, savePositions } from "./position-file.ts";
import type { TailedFile } from "./tailed-file.ts";

/** A file has its turn for so long at most: the others' rotations are not to be missed meanwhile. */
const turnBytesMax = 16 * 1024 * 1024;

/** A batch that is read and that no channel has taken yet. */
interface PendingBatch {
  readonly file: TailedFile;
  readonly generation: number;
  readonly batch: EventBatch;
  readonly end: number;
}

/** What came of a file's turn. `blocked`: the channel is full. `more`: it has not read all it could. */
type Turn = "nothing" | "read" | "more" | "blocked";

/**
 * Follows files line by line. A position moves only when the batch before it is committed; a batch
 * that a full channel refuses is kept and tried first in the next round, which also keeps an eye on
 * rotation meanwhile.
 */
export function createTaildirSource(
  options: TaildirOptions,
  context: SourceContext,
): PollableSource {
  return new TaildirSource(options, context);
}

class TaildirSource implements PollableSource {
  readonly pollBackoff: PollBackoff;
  readonly #options: TaildirOptions;
  readonly #context: SourceContext;
  readonly #groups: readonly FileGroup[];
  readonly #positionFile: string;
  readonly #tracker: FileTracker;
  readonly #reader: LineBatches;
  readonly #turnBatchesMax: number;
  #isStarted = false;
  #pending: PendingBatch | undefined;
  #isBlocked = false;
  #hasMoved = false;
  #savedAtMs = 0;
  #isSaveFailing = false;

  constructor(options: TaildirOptions, context: SourceContext) {
    const maxMs = options.maxBackoffSleepMs;
    this.pollBackoff = { incrementMs: Math.min(options.backoffSleepIncrementMs, maxMs), maxMs };
    this.#options = options;
    this.#context = context;
    this.#groups = parseFileGroups(options).groups;
    this.#positionFile = expandHome(options.positionFile, context.home);
    this.#tracker = new FileTracker(context, options, this.#groups);
    this.#turnBatchesMax = options.maxBatchCount > 0 ? options.maxBatchCount : Infinity;
    const cut = context.metrics.counter(
      "millrace_source_lines_cut_total",
      "Parts cut off lines that are longer than maxLineBytes.",
    );
    this.#reader = new LineBatches(options, () => {
      if (cut.value++ > 0) return;
      const { maxLineBytes } = options;
      context.log.warn("a line is longer than maxLineBytes and is cut", { maxLineBytes });
    });
    context.metrics.gauge(
      "millrace_source_backlog_bytes",
      "Bytes of files that are not yet in a channel, as last looked at.",
      () => this.#tracker.backlogBytes(),
    );
  }

  async start(): Promise<void> {
    const { files } = this.#context.runtime;
    for (const { directory, name } of this.#groups) {
      try {
        await files.readDirectory(directory);
      } catch (cause) {
        throw refused(`filegroups.${name}: ${directory}`, cause);
      }
    }
    this.#pending = undefined;
    this.#isBlocked = false;
    this.#isSaveFailing = false;
    this.#hasMoved = false;
    try {
      await files.makeDirectory(dirname(this.#positionFile));
      this.#tracker.start(await this.#load());
      await this.#tracker.refresh();
      await this.#save();
    } catch (cause) {
      await this.#tracker.stop();
      throw cause instanceof MillraceError
        ? cause
        : refused(`positionFile ${this.#positionFile}`, cause);
    }
    this.#isStarted = true;
  }

  async stop(): Promise<void> {
    if (!this.#isStarted) return;
    this.#isStarted = false;
    this.#pending = undefined;
    await this.#saveNow();
    await this.#tracker.stop();
    this.#reader.clear();
  }

  async poll(signal: AbortSignal): Promise<"ready" | "backoff"> {
    if (signal.aborted || !this.#isStarted) return "backoff";
    this.#reader.clear();
    const files = await this.#tracker.refresh();
    await this.#saveIfDue();
    const turns = new Set<Turn>();
    if (this.#pending !== undefined) {
      if (!(await this.#deliver(this.#pending))) return "backoff";
      turns.add("read");
    }
    for (const file of files) {
      if (signal.aborted) break;
      const turn = await this.#tail(file, signal);
      await this.#saveIfDue();
      if (turn === "blocked") return "backoff";
      turns.add(turn);
    }
    if (turns.has("more")) return "ready";
    if (!turns.has("read")) return "backoff";
    // Caught up: one increment of waiting, so that a busy file gives batches and not single lines.
    await sleep(this.#context.runtime.clock, this.pollBackoff.incrementMs, signal);
    return "ready";
  }

  /** Reads what the file had when it was last looked at, as far as one turn goes. */
  async #tail(file: TailedFile, signal: AbortSignal): Promise<Turn> {
    // Its first bytes could not be looked at: it is not to be read now.
    if (file.isSuspect) return "nothing";
    const upTo = file.size;
    const startedAt = file.position;
    let turn: Turn = "nothing";
    for (let batches = 0; !file.isRead; batches++) {
      if (signal.aborted) return turn;
      const isOver = file.position - startedAt >= turnBytesMax;
      if (isOver || batches >= this.#turnBatchesMax) return "more";
      const read = await this.#read(file, upTo, false);
      if (read === "failed") return turn;
      if (read === "replaced") return "more";
      if (read === "partial") {
        file.partialAtSize = upTo;
        break;
      }
      if (!(await this.#hand(file, read))) return "blocked";
      turn = "read";
    }
    const idleMs = this.#context.runtime.clock.monotonic() - file.changedAtMs;
    if (idleMs < this.#options.idleTimeoutMs) return turn;
    return (await this.#leave(file)) ? turn : "blocked";
  }

  /** Closes a file that has long not grown, its last line sent as it is. False when blocked. */
  async #leave(file: TailedFile): Promise<boolean> {
    if (file.position < file.size) {
      const read = await this.#read(file, file.size, true);
      if (read === "failed" || read === "replaced") return true;
      if (typeof read !== "string" && !(await this.#hand(file, read))) return false;
    }
    if (!file.isListed) await this.#tracker.forget(file);
    else if (file.handle !== undefined && file.size > 0) await file.close();
    return true;
  }

  /** One bad file does not end the round: what went wrong is logged once, and tried again. */
  async #read(
    file: TailedFile,
    upTo: number,
    isFinal: boolean,
  ): Promise<LineBatch | "partial" | "replaced" | "failed"> {
    try {
      const handle = await this.#tracker.open(file);
      // Another file has the name by now; the next round finds out where this one went.
      if (handle === undefined) return "failed";
      const read = await this.#reader.read(file, handle, upTo, isFinal);
      if (read === "replaced") this.#tracker.restart(file);
      file.isFailing = false;
      return read;
    } catch (error) {
      const { counters, log } = this.#context;
      counters.EventReadFail++;
      const { code, message } = toMillraceError(error, "READ_FAILED", file.path);
      if (!file.isFailing) log.warn(`${message}; trying again`, { code, path: file.path });
      file.isFailing = true;
      return "failed";
    }
  }

  async #hand(file: TailedFile, { batch, end }: LineBatch): Promise<boolean> {
    const { counters } = this.#context;
    counters.EventReceivedCount += batch.length;
    counters.AppendBatchReceivedCount++;
    file.readTo = end;
    this.#pending = { file, generation: file.generation, batch, end };
    return this.#deliver(this.#pending);
  }

  /** Hands the batch to the channels. False when they do not take it now; it stays pending. */
  async #deliver(pending: PendingBatch): Promise<boolean> {
    const { channelProcessor, counters, log } = this.#context;
    const { batch, end, file, generation } = pending;
    try {
      await channelProcessor.processEventBatch(batch);
    } catch (error) {
      if (!(error instanceof MillraceError)) {
        counters.GenericProcessingFail++;
        throw error;
      }
      counters.ChannelWriteFail++;
      if (error.answer !== "retry") throw error;
      if (!this.#isBlocked) {
        log.warn(`waiting for the channel: ${error.message}`, { code: error.code });
        this.#isBlocked = true;
        await this.#saveNow();
      }
      return false;
    }
    this.#pending = undefined;
    if (this.#isBlocked) log.info("the channel takes events again");
    this.#isBlocked = false;
    counters.EventAcceptedCount += batch.length;
    counters.AppendBatchAcceptedCount++;
    if (file.generation === generation) file.position = end;
    this.#hasMoved = true;
    return true;
  }

  #load(): Promise<SavedFile[]> {
    return loadPositions(this.#context.runtime.files, this.#positionFile, (path) =>
      this.#context.log.warn("not what this source writes: positions count as Flume's own", {
        path,
      }),
    );
  }

  async #save(): Promise<void> {
    const { clock, files } = this.#context.runtime;
    this.#savedAtMs = clock.monotonic();
    await savePositions(files, this.#positionFile, this.#tracker.toSaved());
    this.#tracker.hasNews = false;
    this.#hasMoved = false;
    this.#isSaveFailing = false;
  }

  async #saveIfDue(): Promise<void> {
    const elapsedMs = this.#context.runtime.clock.monotonic() - this.#savedAtMs;
    const isTime = elapsedMs >= this.#options.writePosIntervalMs;
    if (isTime || (this.#tracker.hasNews && !this.#isSaveFailing)) await this.#saveNow();
  }

  /** A position file that cannot be written stops nothing: after a crash more lines come twice. */
  async #saveNow(): Promise<void> {
    if (!this.#tracker.hasNews && !this.#hasMoved) return;
    try {
      await this.#save();
    } catch (error) {
      const { code, message } = toMillraceError(error, "WRITE_FAILED", this.#positionFile);
      if (!this.#isSaveFailing) this.#context.log.error(`${message}; trying again`, { code });
      this.#isSaveFailing = true;
    }
  }
}

function refused(what: string, cause: unknown): MillraceError {
  const code = systemErrorCode(cause);
  const why = cause instanceof Error ? cause.message : String(cause);
  if (code === "ENOENT" || code === "ENOTDIR")
    return new MillraceError("PATH_MISSING", `${what} does not exist; create it`, { cause });
  return ["EACCES", "EPERM", "EROFS"].includes(code)
    ? new MillraceError("PERMISSION_DENIED", `${what} is not for this user: ${why}`, { cause })
    : new MillraceError("WRITE_FAILED", `${what}: ${why}`, { cause });
}
