import assert from "node:assert/strict";
import type { EventBatch } from "../events/event-batch.ts";
import type { Ranges } from "../events/ranges.ts";
import type { PutTransaction, TakeTransaction } from "./channel.ts";

/** Room that is held for a batch, and the way to store it. Ends once. */
export class HeldPut implements PutTransaction {
  readonly #store: () => Promise<void>;
  readonly #release: () => void;
  #ended = false;

  constructor(store: () => Promise<void>, release: () => void) {
    this.#store = store;
    this.#release = release;
  }

  async commit(): Promise<void> {
    this.#end();
    await this.#store();
  }

  async rollback(): Promise<void> {
    this.#end();
    this.#release();
  }

  #end(): void {
    assert(!this.#ended, "a put transaction ends once");
    this.#ended = true;
  }
}

/** Lent events, and what becomes of them: `settle` is told which are done; the rest goes back. Ends once. */
export class LentTake implements TakeTransaction {
  readonly batch: EventBatch;
  readonly #settle: (settled: Ranges) => void;
  #ended = false;

  constructor(batch: EventBatch, settle: (settled: Ranges) => void) {
    this.batch = batch;
    this.#settle = settle;
  }

  async commit(settled: Ranges = [{ from: 0, to: this.batch.length }]): Promise<void> {
    this.#end();
    this.#settle(settled);
  }

  async rollback(): Promise<void> {
    this.#end();
    this.#settle([]);
  }

  #end(): void {
    assert(!this.#ended, "a take transaction ends once");
    this.#ended = true;
  }
}
