import { EventBatch, type PutTransaction, type Ranges, type TakeTransaction } from "@millrace/core";
import type { MillraceError } from "@millrace/core";
import assert from "node:assert/strict";
import type { QueuedPiece } from "./event-queue.ts";
import type { Gathered } from "./gather-slab.ts";
import type { OpenTake } from "./open-takes.ts";

/** What a put asks for, and holds once it is granted. */
export interface Room {
  /** As it came; a copy once that was found to keep alive more than twice the batch's bytes. */
  batch: EventBatch;
  readonly bytes: number;
  /** Where a small put will be copied to, in its order; nowhere when it is kept as it came. */
  gathered?: readonly Gathered[] | undefined;
}

/** The channel, as its transactions end in it. Each call is made once by a transaction. */
export interface TransactionKeeper {
  /** Grows at every stop: a transaction begun before finds nothing of its own there any more. */
  readonly run: number;
  /** Stores what the room was held for; it can be taken from now on. */
  store(room: Room): void;
  giveBackRoom(room: Room): void;
  /** Forgets the settled events (all, when not told); the others return to their places. */
  settle(take: Take, settled: Ranges | undefined): void;
  /** Every event returns to its own place. */
  giveBackEvents(take: Take): void;
  closedError(): MillraceError;
}

export class Put implements PutTransaction {
  readonly room: Room;
  readonly #keeper: TransactionKeeper;
  readonly #run: number;
  #ended = false;

  constructor(keeper: TransactionKeeper, room: Room) {
    this.#keeper = keeper;
    this.room = room;
    this.#run = keeper.run;
  }

  /** Fails only when the channel was stopped meanwhile: then nothing was promised. */
  async commit(): Promise<void> {
    assert(!this.#ended, "a transaction ends once");
    this.#ended = true;
    if (this.#run !== this.#keeper.run) throw this.#keeper.closedError();
    this.#keeper.store(this.room);
  }

  async rollback(): Promise<void> {
    assert(!this.#ended, "a transaction ends once");
    this.#ended = true;
    if (this.#run === this.#keeper.run) this.#keeper.giveBackRoom(this.room);
  }
}

/** After a stop its events count as lost already, whichever way it ends. */
export class Take implements TakeTransaction, OpenTake {
  readonly batch: EventBatch;
  readonly pieces: readonly QueuedPiece[];
  before: OpenTake | undefined;
  after: OpenTake | undefined;
  readonly #keeper: TransactionKeeper;
  readonly #run: number;
  #ended = false;

  constructor(keeper: TransactionKeeper, pieces: readonly QueuedPiece[]) {
    this.#keeper = keeper;
    this.pieces = pieces;
    const [only] = pieces;
    this.batch =
      only !== undefined && pieces.length === 1
        ? only.batch
        : EventBatch.join(pieces.map((piece) => piece.batch));
    this.#run = keeper.run;
  }

  async commit(settled?: Ranges): Promise<void> {
    assert(!this.#ended, "a transaction ends once");
    this.#ended = true;
    if (this.#run === this.#keeper.run) this.#keeper.settle(this, settled);
  }

  async rollback(): Promise<void> {
    assert(!this.#ended, "a transaction ends once");
    this.#ended = true;
    if (this.#run === this.#keeper.run) this.#keeper.giveBackEvents(this);
  }
}
