import {
  type EventBatch,
  EventBatchBuilder,
  MillraceError,
  type SourceContext,
} from "@millrace/core";
import type { ContainerLog, Mark, Outgoing } from "./container-log.ts";

/** A batch of long lines ends here, whatever batchSize says. */
const batchBytesMax = 4 * 1024 * 1024;

/** Batches that are read and that no channel has taken yet, and what is done with once they are. */
interface Pending {
  readonly batches: EventBatch[];
  readonly marks: readonly Mark[];
}

/**
 * The batch that is being filled, of all containers, and the one that is being handed to the channels.
 * There is one at a time: nothing is read while a full channel refuses it.
 */
export class OutgoingBatches implements Outgoing {
  /** Positions moved since this was set to false. */
  hasMoved = false;
  /** The channels did not take the last batch. */
  isBlocked = false;
  readonly #batchSize: number;
  readonly #context: SourceContext;
  readonly #builder = new EventBatchBuilder();
  #pending: Pending | undefined;

  constructor(batchSize: number, context: SourceContext) {
    this.#batchSize = batchSize;
    this.#context = context;
  }

  get isFull(): boolean {
    return this.#builder.length >= this.#batchSize || this.#builder.byteLength >= batchBytesMax;
  }
  get byteLength(): number {
    return this.#builder.byteLength;
  }

  add(headers: ReadonlyMap<string, string> | Buffer, body: Buffer): void {
    this.#builder.add(headers, body);
  }

  reset(): void {
    this.#builder.build();
    this.#pending = undefined;
    this.isBlocked = false;
    this.hasMoved = false;
  }

  /** What was read becomes pending. A line may have made several events: none is over batchSize. */
  close(containers: readonly ContainerLog[]): void {
    const batch = this.#builder.build();
    const batches: EventBatch[] = [];
    for (let from = 0; from < batch.length; from += this.#batchSize) {
      batches.push(batch.slice(from, Math.min(from + this.#batchSize, batch.length)));
    }
    const { counters } = this.#context;
    counters.EventReceivedCount += batch.length;
    counters.AppendBatchReceivedCount += batches.length;
    this.#pending = { batches, marks: containers.flatMap((container) => container.marks()) };
  }

  /** Hands what is pending to the channels. False when they do not take it now. */
  async deliver(): Promise<boolean> {
    const pending = this.#pending;
    if (pending === undefined) return true;
    for (;;) {
      const [batch] = pending.batches;
      if (batch === undefined) break;
      if (!(await this.#hand(batch))) return false;
      pending.batches.shift();
    }
    this.#pending = undefined;
    for (const { file, generation, positions } of pending.marks) {
      if (file.generation === generation) file.positions = positions;
    }
    return true;
  }

  async #hand(batch: EventBatch): Promise<boolean> {
    const { channelProcessor, counters, log } = this.#context;
    try {
      await channelProcessor.processEventBatch(batch);
    } catch (error) {
      if (!(error instanceof MillraceError)) {
        counters.GenericProcessingFail++;
        throw error;
      }
      counters.ChannelWriteFail++;
      if (error.answer !== "retry") throw error;
      if (!this.isBlocked) {
        log.warn(`waiting for the channel: ${error.message}`, { code: error.code });
      }
      this.isBlocked = true;
      return false;
    }
    if (this.isBlocked) log.info("the channel takes events again");
    this.isBlocked = false;
    counters.EventAcceptedCount += batch.length;
    counters.AppendBatchAcceptedCount++;
    this.hasMoved = true;
    return true;
  }
}
