import assert from "node:assert/strict";

/**
 * All that a durable channel promises, in a few sets of event numbers. Numbers rise in the order of
 * the commits, so order is their order.
 *
 *     put OK ──► held ──lent──► settled ──synced──► gone for good
 *     put failed, or never answered ──► doubtful ──a start finds it or not──► held or gone for good
 */
export class ChannelModel {
  /** Must be there. */
  readonly held = new Set<number>();
  /** May be there: its put failed or was never answered. */
  readonly doubtful = new Set<number>();
  /** May be there again: delivered, and its acknowledgement not known to be synced. */
  readonly settled = new Set<number>();
  /** In the hands of takers; a part of `held`. */
  readonly lent = new Set<number>();
  /** Ever settled: may come back only where the record of it was damaged. */
  readonly everSettled = new Set<number>();
  /** Written but not synced; a part of `held` that a power cut may cut from behind. */
  readonly unsynced = new Set<number>();
  readonly counts = { present: 0, redelivered: 0, cut: 0 };
  #powerWasLost = false;

  put(ids: readonly number[], synced = true): void {
    for (const id of ids) {
      this.held.add(id);
      this.doubtful.delete(id);
      if (!synced) this.unsynced.add(id);
    }
  }

  take(ids: readonly number[], where: string): void {
    const next = [...this.held].filter((id) => !this.lent.has(id)).sort(ascending);
    assert.deepEqual(ids, next.slice(0, ids.length), `${where}: not the lowest that can be taken`);
    for (const id of ids) this.lent.add(id);
  }

  giveBack(ids: readonly number[]): void {
    for (const id of ids) this.lent.delete(id);
  }

  settle(ids: readonly number[]): void {
    this.giveBack(ids);
    for (const id of ids) {
      this.held.delete(id);
      this.unsynced.delete(id);
      this.settled.add(id);
      this.everSettled.add(id);
    }
  }

  /** Stored bytes were damaged: these events are named as lost, and acknowledgements may be. */
  damaged(lost: Iterable<number>): void {
    for (const id of lost) this.held.delete(id);
    for (const id of this.everSettled) this.settled.add(id);
  }

  /** These acknowledgements are on disk: what they name never comes back. */
  acknowledged(ids: Iterable<number>): void {
    for (const id of [...ids]) this.settled.delete(id);
  }

  crash(powerLost: boolean): void {
    this.lent.clear();
    this.#powerWasLost ||= powerLost;
  }

  /** What a start found, whole and in order, is what may be there; from here on it must be. */
  judge(present: readonly number[], where: string): void {
    const sorted = [...present].sort(ascending);
    assert.deepEqual(present, sorted, `${where}: out of order`);
    const found = new Set(present);
    assert.equal(found.size, present.length, `${where}: an event is there twice`);
    for (const id of this.held) if (!found.has(id)) this.#assertMayBeLost(id, sorted, where);
    for (const id of found) {
      if (this.settled.has(id)) this.counts.redelivered++;
      const known = this.held.has(id) || this.doubtful.has(id) || this.settled.has(id);
      assert.ok(known, `${where}: event ${id} was acknowledged or cut and is back`);
    }
    this.counts.present += found.size;
    this.counts.cut += [...this.doubtful].filter((id) => !found.has(id)).length;
    for (const set of [this.held, this.doubtful, this.settled, this.unsynced]) set.clear();
    this.#powerWasLost = false;
    this.put(present);
  }

  #assertMayBeLost(id: number, present: readonly number[], where: string): void {
    const cut = this.#powerWasLost && this.unsynced.has(id) && (present.at(-1) ?? -1) < id;
    assert.ok(cut, `${where}: event ${id} was told OK and is lost`);
  }
}

function ascending(a: number, b: number): number {
  return a - b;
}
