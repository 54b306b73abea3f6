import {
  type Counter,
  type EventBatch,
  type MakeSerializer,
  MillraceError,
  type Sink,
  type SinkContext,
  systemErrorCode,
  type Timer,
} from "@millrace/core";
import { dirname, join } from "node:path";
import { assertWritableDirectory } from "./directory.ts";
import { createFileNames } from "./file-names.ts";
import type { Options } from "./options.ts";
import { OutputFile } from "./output-file.ts";
import { Retention } from "./retention.ts";

/**
 * Writes each batch at the end of the current file and syncs it before `deliver` resolves. A file is
 * opened for the first batch that needs one and closed when its time is over, also when no more
 * batches come. No file is ever written over.
 */
export function createFileRollSink(
  options: Options,
  context: SinkContext,
  makeSerializer: MakeSerializer,
): Sink {
  return new FileRollSink(options, context, makeSerializer);
}

class FileRollSink implements Sink {
  readonly batchSize: number;
  readonly deliveriesInFlight = 1;
  readonly #options: Options;
  readonly #context: SinkContext;
  readonly #makeSerializer: MakeSerializer;
  readonly #names: ReturnType<typeof createFileNames>;
  readonly #retention: Retention | undefined;
  readonly #removed: Counter | undefined;
  #file: OutputFile | undefined;
  #rollTimer: Timer | undefined;
  /** What is done to files is done one after another: a delivery, a roll, the stop. */
  #last: Promise<void> = Promise.resolve();

  constructor(options: Options, context: SinkContext, makeSerializer: MakeSerializer) {
    this.batchSize = options.batchSize;
    this.#options = options;
    this.#context = context;
    this.#makeSerializer = makeSerializer;
    this.#names = createFileNames(options, context.runtime.clock);
    const { retentionBytes } = options;
    if (retentionBytes === undefined) return;
    const { log, metrics, runtime } = context;
    this.#retention = new Retention({ ...options, retentionBytes }, runtime.files, log);
    this.#removed = metrics.counter(
      "millrace_sink_files_removed_total",
      "Files of delivered events that were removed, as sink.retentionBytes says.",
    );
  }

  async start(): Promise<void> {
    const { runtime, name } = this.#context;
    await assertWritableDirectory(runtime.files, this.#options.directory, name);
    if (this.#removed !== undefined) this.#removed.value += (await this.#retention?.keep()) ?? 0;
  }

  stop(): Promise<void> {
    return this.#afterLast(() => this.#closeFile());
  }

  deliver(batch: EventBatch): Promise<void> {
    return this.#afterLast(() => this.#append(batch));
  }

  async #append(batch: EventBatch): Promise<void> {
    this.#file ??= await this.#openFile();
    const file = this.#file;
    try {
      await file.append(batch);
      if (this.#retention?.isEnough(file.bytes) === true) await this.#closeFile();
    } catch (error) {
      if (!file.usable) await this.#closeFile();
      throw this.#writeFailed(file.path, error);
    }
  }

  /** A new file under a name that nothing has, its directory entry synced. */
  async #openFile(): Promise<OutputFile> {
    const { counters, runtime } = this.#context;
    const { directory } = this.#options;
    for (;;) {
      const path = join(directory, this.#names.next());
      try {
        const handle = await runtime.files.open(path, "create");
        const file = new OutputFile(runtime.files, path, handle, this.#makeSerializer());
        try {
          // A prefix may lead into a subdirectory.
          await runtime.files.syncDirectory(dirname(path));
        } catch (error) {
          await file.close();
          throw error;
        }
        counters.ConnectionCreatedCount++;
        this.#rollLater();
        return file;
      } catch (error) {
        if (systemErrorCode(error) === "EEXIST") continue;
        counters.ConnectionFailedCount++;
        throw this.#writeFailed(path, error);
      }
    }
  }

  #rollLater(): void {
    const { rollIntervalSeconds } = this.#options;
    if (rollIntervalSeconds === 0) return;
    this.#rollTimer = this.#context.runtime.clock.setTimer(rollIntervalSeconds * 1000, () => {
      void this.#afterLast(() => this.#closeFile());
    });
  }

  /** Never rejects: what was delivered is synced already, and the next batch opens a new file. */
  async #closeFile(): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    this.#rollTimer?.cancel();
    try {
      await file.close();
    } catch (error) {
      this.#context.log.warn(`sink ${this.#context.name} could not end ${file.path} in order`, {
        error: String(error),
      });
    }
    this.#context.counters.ConnectionClosedCount++;
    if (this.#removed !== undefined) this.#removed.value += (await this.#retention?.keep()) ?? 0;
  }

  #afterLast(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  #writeFailed(path: string, cause: unknown): MillraceError {
    const why = cause instanceof Error ? cause.message : String(cause);
    return new MillraceError(
      "SINK_WRITE_FAILED",
      `sink ${this.#context.name} could not write to ${path}: ${why}; the batch is tried again`,
      { cause, context: { path } },
    );
  }
}
