import type { EventBatch, Ranges } from "@millrace/core";
import type { EventQueue } from "./event-queue.ts";
import { type Gathered, GatherSlab, gatherSlabBytes, smallPutBytes } from "./gather-slab.ts";
import { compactMemory, memoryBytesOf, SlabLedger } from "./slab-ledger.ts";
import type { Room } from "./transactions.ts";

/** The bytes of the channel: what is held, by what, and whether there is room for more. */
export class ByteRoom {
  /** Who leaves the queue or comes back to it retains and releases here. */
  readonly ledger = new SlabLedger();
  /** The most that may be held; what is held already stays when it is lowered. */
  capacity: number;
  readonly #queue: EventQueue;
  #gatherSlab: GatherSlab | undefined;

  constructor(capacity: number, queue: EventQueue) {
    this.capacity = capacity;
    this.#queue = queue;
  }

  get held(): number {
    return this.ledger.bytes;
  }

  /** Holds the bytes, in the slab of small puts where the batch is one. Says whether there was room. */
  hold(room: Room): boolean {
    return this.#tryHold(room) || (this.#copyHeadOut() && this.#tryHold(room));
  }

  giveBack({ batch, gathered }: Room): void {
    if (gathered === undefined) {
      this.ledger.release(batch);
      return;
    }
    for (const { slab, bytes } of gathered) {
      slab.takeBack(bytes);
      this.ledger.releaseSlab(slab.slab);
    }
  }

  /**
   * Lets go of a batch and keeps some ranges of it, copied where under half of what they would keep
   * alive is theirs and nothing else needs the rest.
   */
  keepRest(batch: EventBatch, ranges: Ranges): EventBatch {
    const shared = batch.select(ranges);
    const rest = this.ledger.holdsAlone(batch) ? compactMemory(shared) : shared;
    this.ledger.retain(rest);
    this.ledger.release(batch);
    return rest;
  }

  clear(): void {
    this.ledger.clear();
    this.#gatherSlab = undefined;
  }

  #tryHold(room: Room): boolean {
    if (room.bytes < smallPutBytes && room.batch.length > 0) {
      room.gathered = this.#gather(room);
      if (room.gathered !== undefined) return true;
    }
    const alive = memoryBytesOf(room.batch);
    if (alive > room.bytes * 2 || alive > this.capacity) room.batch = room.batch.copy();
    this.ledger.retain(room.batch);
    if (this.held <= this.capacity) return true;
    this.ledger.release(room.batch);
    return false;
  }

  /**
   * Promises a small put its place: in the slab of those before it and, past its end, in a new one,
   * so that a slab is filled to its last event. Undefined where a slab more would be too much.
   */
  #gather({ batch, bytes }: Room): Gathered[] | undefined {
    const current = this.#gatherSlab;
    const fitting = current?.countFitting(batch, bytes) ?? 0;
    if (fitting < batch.length && this.held + gatherSlabBytes > this.capacity) return undefined;
    const parts: Gathered[] = [];
    if (current !== undefined && fitting > 0) {
      parts.push(partIn(current, batch.slice(0, fitting)));
    }
    if (fitting < batch.length) parts.push(partIn(new GatherSlab(), batch.slice(fitting)));
    for (const { slab } of parts) this.ledger.retainSlab(slab.slab);
    if (this.held > this.capacity) {
      for (const { slab } of parts) this.ledger.releaseSlab(slab.slab);
      return undefined;
    }
    for (const part of parts) {
      part.slab.promise(part.bytes);
      this.#gatherSlab = part.slab;
    }
    return parts;
  }

  /**
   * When bytes are short: what takes left of the first batch may keep a whole slab alive. Copies it
   * out where under half of the slab is live. Says whether that freed anything.
   */
  #copyHeadOut(): boolean {
    const head = this.#queue.head;
    if (head === undefined || !this.ledger.holdsAlone(head.batch)) return false;
    const copy = compactMemory(head.batch);
    if (copy === head.batch) return false;
    this.ledger.retain(copy);
    this.ledger.release(head.batch);
    head.batch = copy;
    head.gathered = undefined;
    return true;
  }
}

function partIn(slab: GatherSlab, batch: EventBatch): Gathered {
  return { slab, batch, bytes: batch.byteLength };
}
