import { EventBatch, MillraceError, type Ranges, type TakeTransaction } from "@millrace/core";
import {
  type Boot,
  type BootOptions,
  channelContext,
  type CollectingMetrics,
  createFakeClock,
  createSeededRandom,
  type FakeClock,
  type Operation,
  type PowerCut,
  SimulatedDisk,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { ChannelModel } from "./channel-model.test.ts";
import { createFileChannel, type FileChannel } from "./file-channel.ts";
import type { FileChannelOptions } from "./options.ts";

export const smallOptions = {
  dataDirs: ["/data/one"],
  capacity: 10_000,
  transactionCapacity: 1000,
  keepAliveMs: 10,
  minimumRequiredSpaceBytes: 0,
  memoryBytes: 8 * 1024,
  segmentBytes: 16 * 1024,
  groupBytesMax: 8 * 1024,
  ackSyncMs: 100,
  lockWaitMs: 0,
} satisfies Partial<FileChannelOptions>;

/** What was being done when a crash came. */
export type Phase = "recovery" | "roll" | "free" | "group" | "other";

/** Thrown out of a life that ended. */
class Died extends Error {
  readonly operation: Operation;
  constructor(operation: Operation) {
    super(`crashed in ${operation.kind} ${operation.path}`);
    this.operation = operation;
  }
}

/**
 * One channel over many lives on one disk, held against the model: every take as it happens, and
 * after every start, in `judge`, everything there is. Beside the model one more promise is kept:
 * (run, sequence) names one event for ever.
 */
export class CrashWorld {
  readonly disk: SimulatedDisk;
  options: Partial<FileChannelOptions> & Pick<FileChannelOptions, "dataDirs">;
  readonly model = new ChannelModel();
  readonly crashes: Record<Phase, number> = { recovery: 0, roll: 0, free: 0, group: 0, other: 0 };
  readonly #random;
  readonly #names = new Map<string, number>();
  /** The sequence by which an event was last taken. */
  readonly sequences = new Map<number, number>();
  readonly #takes: { transaction: TakeTransaction; ids: readonly number[] }[] = [];
  #issued = 0;
  /** Puts that the channel refused to begin. */
  refusedPuts = 0;
  #boot: Boot | undefined;
  #clock: FakeClock = createFakeClock();
  channel: FileChannel | undefined;
  metrics: CollectingMetrics | undefined;
  /** Whether the channel has started, in this life. */
  isOpen = false;

  constructor(
    seed: number,
    options: Partial<FileChannelOptions> = {},
    disk: { sectorBytes?: number; capacityBytes?: number } = {},
  ) {
    this.#random = createSeededRandom(seed);
    this.disk = new SimulatedDisk({ random: createSeededRandom(seed + 7919), ...disk });
    this.options = { ...smallOptions, ...options };
  }

  get operations(): number {
    return this.#boot?.operations ?? 0;
  }

  get clock(): FakeClock {
    return this.#clock;
  }

  get openTakes(): number {
    return this.#takes.length;
  }

  /** What a process of a new life works with. */
  boot(options: BootOptions = {}) {
    this.#boot = this.disk.boot(options);
    this.#clock = createFakeClock();
    const { files, locks } = this.#boot;
    return { clock: this.#clock, random: this.#random, files, locks };
  }

  /** Opens the channel in a new life. */
  async open(options: BootOptions = {}): Promise<void> {
    const context = channelContext({ runtime: this.boot(options) });
    this.metrics = context.metrics;
    this.channel = createFileChannel(this.options, context);
    this.isOpen = false;
    this.#takes.length = 0;
    await this.alive(this.channel.start(new AbortController().signal));
    this.isOpen = true;
  }

  /** Ends the life, as power or a kill leaves the disk. */
  crash(power: PowerCut | undefined, names?: number): void {
    if (power === undefined) this.disk.kill();
    else this.disk.powerCut(power, names);
    this.model.crash(power !== undefined);
    this.channel = undefined;
  }

  /** Runs `life` until its end or its crash; returns the call it crashed in. */
  async until(life: () => Promise<void>): Promise<Operation | undefined> {
    try {
      await life();
      return undefined;
    } catch (error) {
      if (!(error instanceof Died)) throw error;
      this.crashes[this.#phaseOf(error.operation)]++;
      return error.operation;
    }
  }

  /** Puts batches at once; each is told OK or not by itself. Those of `rolledBack` are not committed. */
  async put(
    ...sizes: readonly { count: number; bytes: number; rolledBack?: boolean }[]
  ): Promise<void> {
    const channel = this.#require();
    const puts: { ids: number[]; commit: Promise<void> }[] = [];
    const settledBefore = [...this.model.settled];
    const synced = this.options.fsyncPerTransaction !== false;
    for (const { count, bytes, rolledBack = false } of sizes) {
      const ids = Array.from({ length: count }, () => this.#issued++);
      const transaction = await this.#begin(channel, this.#batchOf(ids, bytes));
      if (transaction === undefined) continue;
      if (rolledBack) {
        await this.alive(transaction.rollback());
        continue;
      }
      for (const id of ids) this.model.doubtful.add(id);
      puts.push({ ids, commit: transaction.commit() });
    }
    for (const { ids, commit } of puts) {
      try {
        await this.alive(commit);
      } catch (error) {
        if (!(error instanceof MillraceError)) throw error;
        continue;
      }
      this.model.put(ids, synced);
      if (synced) this.model.acknowledged(settledBefore);
    }
  }

  /** Takes up to `max`, settles the first `settle` of them and returns the rest. */
  async take(max: number, settle: number): Promise<void> {
    await this.hold(max);
    const { ids } = this.#takes.at(-1) ?? { ids: [] };
    await this.endTake(this.#takes.length - 1, [{ from: 0, to: Math.min(settle, ids.length) }]);
  }

  /** Takes up to `max` and keeps them in hand. */
  async hold(max: number): Promise<void> {
    const transaction = await this.alive(this.#require().beginTake(max));
    const ids = idsOf(transaction.batch);
    this.#checkNames(transaction.batch, ids);
    this.model.take(ids, "a take");
    this.#takes.push({ transaction, ids });
  }

  /** Ends a take in hand: settles those ranges of it, or nothing by a rollback. */
  async endTake(index: number, settled: Ranges | "rollback"): Promise<void> {
    const [take] = this.#takes.splice(index, 1);
    if (take === undefined) return;
    const { transaction, ids } = take;
    if (settled === "rollback") {
      this.model.giveBack(ids);
      return this.alive(transaction.rollback());
    }
    const ranges = settled.filter(({ from, to }) => from < to);
    const done = ids.filter((_, i) => ranges.some(({ from, to }) => i >= from && i < to));
    this.model.giveBack(ids);
    this.model.settle(done);
    await this.alive(transaction.commit(ranges));
  }

  /** Time passes in which nothing is put: acknowledgements are synced by then, unless writes fail. */
  async rest(ms = 150, trustsAcks = true): Promise<void> {
    const settled = [...this.model.settled];
    const unsynced = [...this.model.unsynced];
    await this.alive(this.#clock.advance(ms));
    const { fsyncPerTransaction = true, fsyncIntervalMs = 5000 } = this.options;
    if (this.#hasFailed() || !trustsAcks || (!fsyncPerTransaction && ms <= fsyncIntervalMs)) return;
    this.model.acknowledged(settled);
    for (const id of unsynced) this.model.unsynced.delete(id);
  }

  /** Closes in order. What is in hand is returned by the next start. */
  async stop(trustsAcks = true): Promise<void> {
    await this.alive(this.#require().stop(new AbortController().signal));
    this.model.crash(false);
    if (!this.#hasFailed() && trustsAcks) {
      this.model.acknowledged(this.model.settled);
      this.model.unsynced.clear();
    }
    this.channel = undefined;
  }

  /** Takes everything, holds it against what must be there, and puts it back. */
  async judge(where: string): Promise<void> {
    const { present, takes, error } = await this.takeAll(where);
    if (error !== undefined) throw error;
    this.model.judge(present, where);
    for (const take of takes) await this.alive(take.rollback());
  }

  /** Everything that can be taken, up to the first damage where there is one. */
  async takeAll(where: string): Promise<{
    present: number[];
    takes: TakeTransaction[];
    error: MillraceError | undefined;
  }> {
    const channel = this.#require();
    const takes: TakeTransaction[] = [];
    const present: number[] = [];
    while (channel.size > present.length) {
      const taking = this.alive(channel.beginTake(1000));
      taking.catch(() => undefined);
      // What is set aside while a take waits for it does not come: the take ends with its time.
      if (this.options.onCorruption === "quarantine") await this.#clock.advance(20);
      const taken = await taking.catch((error: unknown) => {
        if (error instanceof MillraceError) return error;
        throw error;
      });
      if (taken instanceof MillraceError) return { present, takes, error: taken };
      const ids = idsOf(taken.batch);
      if (ids.length === 0 && channel.size <= present.length) break;
      assert.ok(ids.length > 0, `${where}: ${channel.size} events are counted, fewer come`);
      this.#checkNames(taken.batch, ids);
      present.push(...ids);
      takes.push(taken);
    }
    return { present, takes, error: undefined };
  }

  /** The promise, or the end of this life. */
  async alive<T>(promise: Promise<T>): Promise<T> {
    const boot = this.#boot as Boot;
    const died = boot.crashed.then((operation) => Promise.reject(new Died(operation)));
    died.catch(() => undefined);
    promise.catch(() => undefined);
    return Promise.race([promise, died]);
  }

  /** Undefined when the channel refused, as a full one or a failed one does. */
  async #begin(channel: FileChannel, batch: EventBatch) {
    try {
      return await this.alive(channel.beginPut(batch));
    } catch (error) {
      const code = error instanceof MillraceError ? error.code : "";
      if (!["DISK_FULL", "CHANNEL_FAILED"].includes(code)) throw error;
      this.refusedPuts++;
      return undefined;
    }
  }

  #phaseOf({ kind, path, position = 0 }: Operation): Phase {
    if (!this.isOpen) return "recovery";
    if (path.includes("spare-") || kind === "unlink" || kind === "truncate") return "free";
    if (kind === "create" || kind === "rename" || kind === "syncDirectory") return "roll";
    if (kind === "write" && position <= 4096) return "roll";
    return kind === "write" || kind === "datasync" ? "group" : "other";
  }

  #checkNames(batch: EventBatch, ids: readonly number[]): void {
    const { origin } = batch;
    assert.ok(origin !== undefined || ids.length === 0, "a batch knows its origin");
    ids.forEach((id, index) => {
      const name = `${origin?.run}:${(origin?.sequence ?? 0) + index}`;
      const known = this.#names.get(name);
      assert.ok(
        known === undefined || known === id,
        `${name} is the name of ${known} and of ${id}`,
      );
      this.#names.set(name, id);
      this.sequences.set(id, (origin?.sequence ?? 0) + index);
    });
  }

  /** Bodies are padded with whole records of the log itself, where there are any. */
  #batchOf(ids: readonly number[], bytes: number): EventBatch {
    const paths = this.disk.paths("/data").filter((path) => path.endsWith(".seg"));
    const path = paths[this.#random.integer(Math.max(1, paths.length))];
    const log = path === undefined ? undefined : this.disk.file(path);
    return EventBatch.fromEvents(
      ids.map((id) => {
        const body = Buffer.alloc(Math.max(8, bytes), 0x61);
        log?.content.subarray(4096, 4096 + bytes).copy(body, 8);
        body.write(String(id).padStart(8, "0"), 0, "latin1");
        return { body };
      }),
    );
  }

  #hasFailed(): boolean {
    return this.channel?.readCounters()["Unhealthy"] === 1;
  }

  #require(): FileChannel {
    assert.ok(this.channel !== undefined, "the channel is open");
    return this.channel;
  }
}

function idsOf(batch: EventBatch): number[] {
  return [...batch].map(({ body }) => Number(body.toString("latin1", 0, 8)));
}
