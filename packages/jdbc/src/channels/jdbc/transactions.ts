import { EventBatch, type PutTransaction, type Ranges, type TakeTransaction } from "@millrace/core";
import assert from "node:assert/strict";
import type { Piece } from "./queue/piece.ts";

/** Room that is held, and the way to store what it is held for. */
export class StoredPut implements PutTransaction {
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

/** Lent rows, and what becomes of them. */
export class LentRows implements TakeTransaction {
  readonly batch: EventBatch;
  readonly #settle: (settled: Ranges) => void;
  #ended = false;

  constructor(pieces: readonly Piece[], settle: (settled: Ranges) => void) {
    this.batch = EventBatch.join(pieces.map(({ batch }) => batch));
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
