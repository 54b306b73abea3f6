import {
  type ChannelContext,
  countRanges,
  createChannelCounters,
  DeliveryError,
  type EventBatch,
  fileExists,
  type Log,
  MillraceError,
  noMetrics,
  type Ranges,
  sleep,
  type TakeTransaction,
  toMillraceError,
  yieldToEventLoop,
} from "@millrace/core";
import { createFileChannel, type FileChannel } from "../file-channel.ts";
import type { SegmentHeader } from "../format/segment-header.ts";
import { fileChannelDefaults } from "../options.ts";
import { lookAtDirectories } from "./directories.ts";
import { readSegmentFiles } from "./segment-files.ts";
import type { ToolContext } from "./tool-context.ts";

/** Where the events go. */
export interface Receiver {
  /** Events of one delivery at most. */
  readonly batchSize: number;
  /**
   * Resolves when the receiver has all of them as its own. Throws a MillraceError; a DeliveryError
   * says which it has, and which it can never take. From `giveUp` on nobody waits long for it.
   */
  deliver(batch: EventBatch, giveUp: AbortSignal): Promise<void>;
}

export interface DrainOptions {
  /** Events at most. */
  readonly max: number;
  /** Between attempts at a receiver that does not answer; each wait is twice the one before. */
  readonly firstWaitMs: number;
  readonly longestWaitMs: number;
}

export interface DrainReport {
  /** Acknowledged by the receiver, and settled in the channel. */
  readonly delivered: number;
  readonly deliveredBytes: number;
  /** Still in the channel. */
  readonly left: number;
  /** Their records on disk, padding included. */
  readonly leftBytes: number;
  /** It was told to stop before it was done. */
  readonly interrupted: boolean;
}

export interface DrainObserver {
  /** The channel is open. */
  opened(held: number): void;
  delivered(events: number, bytes: number): void;
  /** The receiver did not take a batch; it is tried again after `waitMs`. */
  waiting(error: MillraceError, waitMs: number): void;
}

/**
 * Opens the channel as the agent would, under its lock, and gives its events away in their order;
 * each is settled when the receiver has it. Throws as a start does (CHANNEL_LOCKED while an agent
 * runs, CHANNEL_CORRUPT, ...), what the receiver throws where trying again cannot help, and where the
 * channel could not note what was delivered; the report until then is the error's `context`.
 */
export async function drainChannel(
  paths: readonly string[],
  receiver: Receiver,
  options: DrainOptions,
  context: ToolContext & { readonly log: Log; readonly observer: DrainObserver },
): Promise<DrainReport> {
  await lookAtDirectories(context.runtime.files, paths);
  const channel = createFileChannel(
    {
      dataDirs: paths,
      capacity: Number.MAX_SAFE_INTEGER,
      transactionCapacity: Math.max(receiver.batchSize, fileChannelDefaults.transactionCapacity),
      keepAliveMs: 0,
      minimumRequiredSpaceBytes: 0,
      lockWaitMs: 0,
      keys: context.keys,
      activeKey: await newestKey(paths, context),
    },
    channelContext(context),
  );
  const interrupted = context.interrupted ?? new AbortController().signal;
  await channel.start(interrupted);
  context.observer.opened(channel.size);
  const drain = new Drain(channel, receiver, options, { ...context, interrupted });
  try {
    await drain.run();
  } finally {
    await channel.stop(new AbortController().signal);
  }
  const report = drain.report();
  if (channel.unnoted > 0) throw unnoted(channel, report);
  return report;
}

/** The receiver has them and the channel does not know it: it must not be called empty. */
function unnoted({ unnoted: count, trouble }: FileChannel, report: DrainReport): MillraceError {
  const why = trouble?.message ?? "the disk took no more writes";
  return new MillraceError(
    trouble?.code ?? "WRITE_FAILED",
    `${report.delivered} events were delivered, and of ${count} of them it may not be noted: the next start or drain may deliver them again; ${why}`,
    { cause: trouble, context: { ...report } },
  );
}

/**
 * The key that the newest segment is encrypted with: a start writes its last group anew, and that
 * must not be in plain text. Where the key is not there, the start refuses what it would need it for.
 */
async function newestKey(
  paths: readonly string[],
  { keys, runtime: { files } }: ToolContext,
): Promise<string | undefined> {
  if (keys === undefined) return undefined;
  let newest: SegmentHeader | undefined;
  for (const [place, path] of paths.entries()) {
    const found = (await fileExists(files, path)) ? await readSegmentFiles(files, path, place) : [];
    for (const { header } of found) {
      if (header !== undefined && header.id > (newest?.id ?? 0)) newest = header;
    }
  }
  const alias = newest?.encryption?.keyAlias;
  if (alias === undefined) return undefined;
  return keys.key(alias).then(
    () => alias,
    () => undefined,
  );
}

interface DrainSurroundings extends ToolContext {
  readonly observer: DrainObserver;
  readonly interrupted: AbortSignal;
}

class Drain {
  readonly #channel: FileChannel;
  readonly #receiver: Receiver;
  readonly #options: DrainOptions;
  readonly #around: DrainSurroundings;
  #delivered = 0;
  #deliveredBytes = 0;
  #left: number;

  constructor(
    channel: FileChannel,
    receiver: Receiver,
    options: DrainOptions,
    around: DrainSurroundings,
  ) {
    this.#channel = channel;
    this.#receiver = receiver;
    this.#options = options;
    this.#around = around;
    this.#left = channel.size;
  }

  report(): DrainReport {
    return {
      delivered: this.#delivered,
      deliveredBytes: this.#deliveredBytes,
      left: this.#left,
      leftBytes: this.#channel.bytes,
      interrupted: this.#around.interrupted.aborted,
    };
  }

  async run(): Promise<void> {
    const { max } = this.#options;
    const { interrupted } = this.#around;
    while (this.#left > 0 && this.#delivered < max && !interrupted.aborted) {
      const wanted = Math.min(this.#receiver.batchSize, max - this.#delivered);
      const take = await this.#channel.beginTake(wanted, interrupted);
      if (take.batch.length > 0) await this.#give(take);
      // Nothing came at once: it is being read from disk.
      else await yieldToEventLoop();
    }
  }

  /** Ends the take: with what the receiver has of it. */
  async #give(take: TakeTransaction): Promise<void> {
    const { batch } = take;
    const { clock } = this.#around.runtime;
    const { interrupted, observer } = this.#around;
    for (let waitMs = this.#options.firstWaitMs; ;) {
      try {
        await this.#receiver.deliver(batch, interrupted);
        this.#settled(batch, [{ from: 0, to: batch.length }]);
        return await take.commit();
      } catch (thrown) {
        const error = toMillraceError(thrown);
        const settled = error instanceof DeliveryError ? error.settled : [];
        if (settled.length > 0) {
          // The rest comes again with the next take.
          this.#settled(batch, settled);
          return await take.commit(settled);
        }
        if (error.answer !== "retry" || interrupted.aborted) {
          await take.rollback();
          if (interrupted.aborted) return;
          throw this.#gaveUp(error);
        }
        observer.waiting(error, waitMs);
        await sleep(clock, waitMs, interrupted);
        waitMs = Math.min(waitMs * 2, this.#options.longestWaitMs);
      }
    }
  }

  #settled(batch: EventBatch, settled: Ranges): void {
    const events = countRanges(settled);
    const bytes = batch.select(settled).byteLength;
    this.#delivered += events;
    this.#deliveredBytes += bytes;
    this.#left -= events;
    this.#around.observer.delivered(events, bytes);
  }

  #gaveUp(error: MillraceError): MillraceError {
    const said = `${this.#delivered} events were delivered, ${this.#left} stay in the channel: ${error.message}`;
    return new MillraceError(error.code, said, { cause: error, context: { ...this.report() } });
  }
}

function channelContext({ runtime, log }: ToolContext & { readonly log: Log }): ChannelContext {
  return {
    agent: "file-channel",
    name: "drain",
    runtime,
    log,
    metrics: noMetrics,
    home: "",
    systemProperties: new Map(),
    counters: createChannelCounters(),
    makePart: () => Promise.reject(new Error("a channel that is drained has no parts")),
  };
}
