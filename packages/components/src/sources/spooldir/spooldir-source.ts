import {
  type FileHandle,
  type MakeDeserializer,
  MillraceError,
  type PollableSource,
  type PollBackoff,
  sleep,
  type SourceContext,
  systemErrorCode,
  toMillraceError,
} from "@millrace/core";
import { isAbsolute } from "node:path";
import { type Completion, createCompletion } from "./completion.ts";
import { assertUnchanged, OpenSpoolFile, type PendingBatch } from "./open-spool-file.ts";
import type { SpooldirOptions } from "./options.ts";
import { createSetAside, type SetAside } from "./set-aside.ts";
import { listSpoolFiles, orderSpoolFiles, type SpoolFile } from "./spool-listing.ts";
import { checkSpoolDirectories } from "./start-checks.ts";
import { identityOf, type TransferState, TransferTracker } from "./transfer-state.ts";

const firstBackoffMs = 250;
const stateFileName = ".flumespool-main.meta";

/**
 * Reads the files of a directory one after another, a batch at a time: handed to the channels,
 * then recorded, and the file finished after its last batch. So a crash repeats one batch at most.
 */
export function createSpooldirSource(
  options: SpooldirOptions,
  makeDeserializer: MakeDeserializer,
  context: SourceContext,
): PollableSource {
  return new SpooldirSource(options, makeDeserializer, context);
}

class SpooldirSource implements PollableSource {
  readonly pollBackoff: PollBackoff;
  readonly #options: SpooldirOptions;
  readonly #makeDeserializer: MakeDeserializer;
  readonly #context: SourceContext;
  readonly #trackerDir: string;
  readonly #completion: Completion;
  readonly #tracker: TransferTracker;
  readonly #setAside: SetAside;
  /** Listed and not yet opened, the next one first. */
  #queue: SpoolFile[] = [];
  #listAgainAt = 0;
  #current: OpenSpoolFile | undefined;
  /** Where the last run stopped, until the first file is chosen. */
  #resume: TransferState | undefined;

  constructor(
    options: SpooldirOptions,
    makeDeserializer: MakeDeserializer,
    context: SourceContext,
  ) {
    const { files, random } = context.runtime;
    const spoolDir = asJavaPath(options.spoolDir);
    const trackerDir = asJavaPath(options.trackerDir);
    this.pollBackoff = { incrementMs: options.pollDelayMs, maxMs: options.pollDelayMs };
    this.#options = { ...options, spoolDir };
    this.#makeDeserializer = makeDeserializer;
    this.#context = context;
    this.#trackerDir = isAbsolute(trackerDir) ? trackerDir : `${spoolDir}/${trackerDir}`;
    this.#completion = createCompletion(files, this.#options, this.#trackerDir);
    this.#tracker = new TransferTracker(files, random, `${this.#trackerDir}/${stateFileName}`);
    this.#setAside = createSetAside(context);
    context.metrics.gauge(
      "millrace_source_backlog_bytes",
      "Bytes of files that are not yet in a channel, as last listed.",
      () => this.#backlogBytes(),
    );
  }

  async start(): Promise<void> {
    await this.#reset();
    this.#setAside.clear();
    await checkSpoolDirectories(this.#context.runtime, this.#options, this.#trackerDir);
    try {
      await this.#completion.load();
      this.#resume = await this.#tracker.load();
    } catch (error) {
      throw toMillraceError(error, "PERMISSION_DENIED", `trackerDir ${this.#trackerDir}`);
    }
  }

  async stop(): Promise<void> {
    await this.#reset();
  }

  async #reset(): Promise<void> {
    const current = this.#current;
    this.#current = undefined;
    this.#queue = [];
    this.#listAgainAt = 0;
    await current?.close();
    await this.#tracker.close();
  }

  /** One batch, or the end of one file. Each step is done once, however often a later one fails. */
  async poll(signal: AbortSignal): Promise<"ready" | "backoff"> {
    if (signal.aborted) return "backoff";
    this.#current ??= await this.#openNext();
    const current = this.#current;
    if (current === undefined) return "backoff";
    if (current.pending === undefined && !current.isRead) {
      if (!(await this.#orSetAside(current, () => this.#read(current)))) return "ready";
    }
    const { pending } = current;
    if (pending !== undefined) {
      if (!pending.isCommitted && !(await this.#deliver(pending, signal))) return "backoff";
      // The last batch is recorded by finishing the file.
      if (!pending.isLast) {
        const { path } = current.file;
        await this.#tracker.record(path, identityOf(current.stat), pending.endOffset);
      }
      current.pending = undefined;
      current.isRead = pending.isLast;
    }
    if (current.isRead) await this.#orSetAside(current, () => this.#finish(current));
    return "ready";
  }

  /** Runs a step that may find the file to be bad. False when the file was set aside instead. */
  async #orSetAside(current: OpenSpoolFile, step: () => Promise<void>): Promise<boolean> {
    try {
      await step();
      return true;
    } catch (cause) {
      const error = toMillraceError(cause);
      if (!this.#setAside.isDue(current.file, error)) throw error;
      this.#current = undefined;
      await current.close();
      this.#setAside.add(current.file, error);
      return false;
    }
  }

  async #read(current: OpenSpoolFile): Promise<void> {
    const { counters } = this.#context;
    await current.readBatch(this.#options.batchSize);
    if (current.pending === undefined) return;
    counters.EventReceivedCount += current.pending.batch.length;
    counters.AppendBatchReceivedCount++;
  }

  /** Hands the batch to the channels until they have it. False when told to give up meanwhile. */
  async #deliver(pending: PendingBatch, signal: AbortSignal): Promise<boolean> {
    const { channelProcessor, counters, log, runtime } = this.#context;
    const { length } = pending.batch;
    let backoffMs = Math.min(firstBackoffMs, this.#options.maxBackoffMs);
    let isWaiting = false;
    for (;;) {
      try {
        await channelProcessor.processEventBatch(pending.batch);
        pending.isCommitted = true;
        counters.EventAcceptedCount += length;
        counters.AppendBatchAcceptedCount++;
        if (isWaiting) log.info("the channel takes events again");
        return true;
      } catch (error) {
        if (!(error instanceof MillraceError)) {
          counters.GenericProcessingFail++;
          throw error;
        }
        counters.ChannelWriteFail++;
        if (error.answer !== "retry") throw error;
        if (!isWaiting) log.warn(`waiting for the channel: ${error.message}`, { code: error.code });
        isWaiting = true;
      }
      await sleep(runtime.clock, backoffMs, signal);
      if (signal.aborted) return false;
      backoffMs = Math.min(backoffMs * 2, this.#options.maxBackoffMs);
    }
  }

  async #finish(current: OpenSpoolFile): Promise<void> {
    const { files } = this.#context.runtime;
    const { file } = current;
    try {
      if (!current.isFinished) {
        await assertUnchanged(files, current);
        await this.#completion.finish(file);
        current.isFinished = true;
      }
      await this.#completion.sync(file);
    } catch (error) {
      throw toMillraceError(error, "WRITE_FAILED", `${file.path} cannot be finished`);
    }
    await this.#tracker.forget();
    this.#current = undefined;
    await current.close();
    this.#context.log.info("file finished", { path: file.path });
  }

  /** The next file, opened where reading begins; undefined when there is none. */
  async #openNext(): Promise<OpenSpoolFile | undefined> {
    await this.#list();
    for (;;) {
      const file = this.#queue[0];
      if (file === undefined) return undefined;
      const opened = await this.#openOrSetAside(file);
      this.#queue.shift();
      if (opened !== undefined) return opened;
    }
  }

  async #openOrSetAside(file: SpoolFile): Promise<OpenSpoolFile | undefined> {
    try {
      return this.#setAside.has(file) ? undefined : await this.#open(file);
    } catch (cause) {
      const error = toMillraceError(cause, "READ_FAILED", file.path);
      if (!this.#setAside.isDue(file, error)) throw error;
      this.#setAside.add(file, error);
      return undefined;
    }
  }

  async #list(): Promise<void> {
    const { clock, files, random } = this.#context.runtime;
    const startedAt = clock.monotonic();
    if (this.#queue.length > 0 && startedAt < this.#listAgainAt) return;
    const { consumeOrder, spoolDir } = this.#options;
    // As in Flume, random goes through a whole list before it looks again.
    if (this.#queue.length > 0 && consumeOrder === "random") return;
    let listed: SpoolFile[];
    try {
      const isDone = (relative: string): boolean => this.#completion.isDone(relative);
      const { files: found, unreadable } = await listSpoolFiles(files, this.#options, isDone);
      for (const { path, error } of unreadable) this.#setAside.warnOnce(path, error);
      listed = found;
    } catch (error) {
      this.#context.counters.EventReadFail++;
      throw toMillraceError(error, "READ_FAILED", `spoolDir ${spoolDir}`);
    }
    this.#setAside.keepOnly(listed);
    orderSpoolFiles(listed, consumeOrder, random);
    await this.#putResumedFirst(listed);
    this.#queue = listed.filter((file) => !this.#setAside.has(file));
    // Listing a large directory takes a twentieth of the time at most.
    const tookMs = clock.monotonic() - startedAt;
    this.#listAgainAt = startedAt + Math.max(this.#options.pollDelayMs, 20 * tookMs);
  }

  /** The half-read file goes first in any order: its state would not survive the next one's. */
  async #putResumedFirst(listed: SpoolFile[]): Promise<void> {
    const resume = this.#resume;
    if (resume === undefined) return;
    const index = listed.findIndex(({ path }) => path === resume.path);
    if (index < 0) {
      // Left in place, it would mislead the reading of a later file of that name.
      await this.#tracker.forget();
      this.#resume = undefined;
    } else listed.unshift(...listed.splice(index, 1));
  }

  async #open(file: SpoolFile): Promise<OpenSpoolFile | undefined> {
    const { files } = this.#context.runtime;
    await this.#completion.assertTargetFree(file);
    let handle: FileHandle;
    try {
      handle = await files.open(file.path, "read");
    } catch (cause) {
      const code = systemErrorCode(cause);
      if (code === "ENOENT") return undefined;
      const isRefused = code === "EACCES" || code === "EPERM";
      throw toMillraceError(cause, isRefused ? "PERMISSION_DENIED" : "READ_FAILED", file.path);
    }
    try {
      const stat = await handle.stat();
      const startOffset = this.#startOffset(file, identityOf(stat), stat.size);
      const make = this.#makeDeserializer;
      const opened = new OpenSpoolFile(file, handle, stat, startOffset, this.#options, make);
      this.#resume = undefined;
      return opened;
    } catch (error) {
      await handle.close().catch(() => {});
      throw error;
    }
  }

  #startOffset(file: SpoolFile, identity: string, size: number): number {
    const resume = this.#resume;
    if (resume?.path !== file.path) return 0;
    const isSame = resume.identity === undefined || resume.identity === identity;
    const { log } = this.#context;
    const detail = { path: file.path, offset: resume.offset };
    if (isSame && resume.offset <= size) {
      log.info("going on with a half-read file", detail);
      return resume.offset;
    }
    log.warn("a half-read file has changed since; it is read from its start", detail);
    return 0;
  }

  #backlogBytes(): number {
    const current = this.#current;
    let bytes = current === undefined ? 0 : Math.max(0, current.stat.size - current.position);
    for (const file of this.#queue) bytes += file.stat.size;
    return bytes;
  }
}

/** As java.io.File writes a path: one slash at a time, none at the end. */
function asJavaPath(path: string): string {
  const single = path.replace(/\/+/g, "/");
  return single.length > 1 && single.endsWith("/") ? single.slice(0, -1) : single;
}
