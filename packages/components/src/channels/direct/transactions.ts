import {
  EventBatch,
  type MillraceError,
  type PutTransaction,
  type Ranges,
  type TakeTransaction,
} from "@millrace/core";
import assert from "node:assert/strict";
import type { Piece } from "./offers.ts";

/** The channel, as its transactions end in it. Each call is made once by a transaction. */
export interface TransactionKeeper {
  /** From now on the put can be taken; it is answered later. */
  offer(put: DirectPut): void;
  giveBackRoom(put: DirectPut): void;
  /** What is settled (all, when not told) is delivered; the rest returns where someone waits for it. */
  endTake(take: DirectTake, settled: Ranges | undefined): void;
}

/**
 *   room held ──commit──> offered ──taken──> every event settled: accepted
 *       │                    │         └──> answerTimeout: refused, while sinks may go on with it
 *       └── rollback         └──> keep-alive, stop: withdrawn, and refused
 */
export class DirectPut implements PutTransaction {
  readonly batch: EventBatch;
  readonly bytes: number;
  /** When it asked for room, on the monotonic clock. */
  readonly beganMs: number;
  offeredMs: number | undefined;
  /** Whether a take was ever lent some of it. */
  taken = false;
  /** Events that no take has settled. */
  unsettled: number;
  readonly #keeper: TransactionKeeper;
  #ended = false;
  #refusal: MillraceError | undefined;
  #accept: (() => void) | undefined;
  #reject: ((error: MillraceError) => void) | undefined;

  constructor(keeper: TransactionKeeper, batch: EventBatch, bytes: number, beganMs: number) {
    this.#keeper = keeper;
    this.batch = batch;
    this.bytes = bytes;
    this.beganMs = beganMs;
    this.unsettled = batch.length;
  }

  /** Resolves when sinks have delivered every event; rejects with what the sender is to be told. */
  async commit(): Promise<void> {
    this.#end();
    if (this.#refusal !== undefined) throw this.#refusal;
    await new Promise<void>((accept, reject) => {
      this.#accept = accept;
      this.#reject = reject;
      this.#keeper.offer(this);
    });
  }

  async rollback(): Promise<void> {
    this.#end();
    this.#keeper.giveBackRoom(this);
  }

  accept(): void {
    this.#accept?.();
  }

  /** Rejects the commit, also one that is still to come. */
  refuse(error: MillraceError): void {
    this.#refusal = error;
    this.#reject?.(error);
  }

  #end(): void {
    assert(!this.#ended, "a transaction ends once");
    this.#ended = true;
  }
}

/** Pieces of one put or of several, lent to a sink. */
export class DirectTake implements TakeTransaction {
  readonly batch: EventBatch;
  readonly pieces: readonly Piece[];
  /** The run of the channel that it began in. */
  readonly run: number;
  readonly #keeper: TransactionKeeper;
  #ended = false;

  constructor(keeper: TransactionKeeper, pieces: readonly Piece[], run: number) {
    this.#keeper = keeper;
    this.pieces = pieces;
    this.run = run;
    this.batch = EventBatch.join(pieces.map(({ batch }) => batch));
  }

  async commit(settled?: Ranges): Promise<void> {
    this.#end();
    this.#keeper.endTake(this, settled);
  }

  async rollback(): Promise<void> {
    this.#end();
    this.#keeper.endTake(this, []);
  }

  /** What the ranges over the batch cover of each piece, in positions of the piece. */
  *settledOf(settled: Ranges): Iterable<{ readonly piece: Piece; readonly ranges: Ranges }> {
    let next = 0;
    let base = 0;
    for (const piece of this.pieces) {
      const end = base + piece.batch.length;
      const ranges: { from: number; to: number }[] = [];
      for (; next < settled.length; next++) {
        const { from, to } = settled[next] as Ranges[number];
        if (from >= end) break;
        ranges.push({ from: Math.max(from, base) - base, to: Math.min(to, end) - base });
        if (to > end) break;
      }
      yield { piece, ranges };
      base = end;
    }
  }

  #end(): void {
    assert(!this.#ended, "a transaction ends once");
    this.#ended = true;
  }
}
