import { EventBatch, MillraceError, type TakeTransaction } from "@millrace/core";
import {
  type Boot,
  type BootOptions,
  channelContext,
  createFakeClock,
  createSeededRandom,
  type FakeClock,
  type Operation,
  type PowerCut,
  SimulatedDisk,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { createFileChannel, type FileChannel } from "./file-channel.ts";
import type { FileChannelOptions } from "./options.ts";

/** What the world knows of one event it handed over. */
interface Issued {
  readonly id: number;
  /** `ok`: told so, or found again. `open`: never answered, or told it failed. `cut`: found gone. */
  state: "open" | "ok" | "cut";
  /** Settled by a take; `synced`: and known to be on disk, so it never comes back. */
  acknowledged: "no" | "settled" | "synced";
}

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

export interface Crash {
  readonly at: number;
  /** Undefined: the process is killed, the machine goes on. */
  readonly power: PowerCut | undefined;
}

/** Thrown out of a life that ended. */
class Died extends Error {
  readonly operation: Operation;
  constructor(operation: Operation) {
    super(`crashed in ${operation.kind} ${operation.path}`);
    this.operation = operation;
  }
}

/**
 * One channel over many lives, and a model of what must be true of it. The judgements are made in
 * `judge`, which takes everything and puts it back:
 *
 * - told OK and not delivered is present, in order;
 * - a synced acknowledgement is not delivered again;
 * - what was cut never returns;
 * - (run, sequence) names one event for ever.
 */
export class CrashWorld {
  readonly disk: SimulatedDisk;
  readonly options: Partial<FileChannelOptions> & Pick<FileChannelOptions, "dataDirs">;
  readonly counts = { judged: 0, present: 0, redelivered: 0, cut: 0 };
  readonly #random;
  readonly #issued: Issued[] = [];
  readonly #names = new Map<string, number>();
  #boot: Boot | undefined;
  #clock: FakeClock = createFakeClock();
  channel: FileChannel | undefined;
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

  /** Opens the channel in a new life. */
  async open(options: BootOptions = {}): Promise<void> {
    this.#boot = this.disk.boot(options);
    this.#clock = createFakeClock();
    const { files, locks } = this.#boot;
    const runtime = { clock: this.#clock, random: this.#random, files, locks };
    this.channel = createFileChannel(this.options, channelContext({ runtime }));
    this.isOpen = false;
    await this.alive(this.channel.start(new AbortController().signal));
    this.isOpen = true;
  }

  /** Ends the life that crashed, as power or a kill leaves the disk. */
  crash(power: PowerCut | undefined): void {
    if (power === undefined) this.disk.kill();
    else this.disk.powerCut(power);
    this.channel = undefined;
  }

  /** Runs `life` until its end or its crash; returns the call it crashed in. */
  async until(life: () => Promise<void>): Promise<Operation | undefined> {
    try {
      await life();
      return undefined;
    } catch (error) {
      if (error instanceof Died) return error.operation;
      throw error;
    }
  }

  /** Puts batches at once; each is told OK or not by itself. */
  async put(...sizes: readonly { count: number; bytes: number }[]): Promise<void> {
    const channel = this.#require();
    const puts: { issued: Issued[]; commit: Promise<void> }[] = [];
    const settledBefore = this.#issued.filter((one) => one.acknowledged === "settled");
    for (const { count, bytes } of sizes) {
      const issued = Array.from({ length: count }, () => this.#issue());
      const batch = this.#batchOf(issued, bytes);
      const transaction = await this.alive(channel.beginPut(batch));
      puts.push({ issued, commit: transaction.commit() });
    }
    for (const { issued, commit } of puts) {
      try {
        await this.alive(commit);
      } catch (error) {
        if (!(error instanceof MillraceError)) throw error;
        continue;
      }
      for (const one of issued) one.state = "ok";
      for (const one of settledBefore) one.acknowledged = "synced";
    }
  }

  /** Takes up to `max`, settles the first `settle` of them and returns the rest. */
  async take(max: number, settle: number): Promise<void> {
    const take = await this.#takeSome(max);
    const ids = idsOf(take.batch);
    this.#checkNames(take.batch, ids);
    const settled = ids.slice(0, settle);
    for (const id of settled) this.#of(id).acknowledged = "settled";
    await this.alive(take.commit([{ from: 0, to: settled.length }].filter(({ to }) => to > 0)));
  }

  /** Time passes in which nothing is put: acknowledgements are synced by then, unless writes fail. */
  async rest(ms = 150, trustsAcks = true): Promise<void> {
    const settled = this.#issued.filter((one) => one.acknowledged === "settled");
    await this.alive(this.#clock.advance(ms));
    if (this.#hasFailed() || !trustsAcks) return;
    for (const one of settled) one.acknowledged = "synced";
  }

  async stop(): Promise<void> {
    const channel = this.#require();
    await this.alive(channel.stop(new AbortController().signal));
    for (const one of this.#hasFailed() ? [] : this.#issued) {
      if (one.acknowledged === "settled") one.acknowledged = "synced";
    }
    this.channel = undefined;
  }

  /** Takes everything, holds it against what must be there, and puts it back. */
  async judge(where: string): Promise<void> {
    const channel = this.#require();
    const takes: TakeTransaction[] = [];
    const present: number[] = [];
    for (let left = channel.size; left > 0;) {
      const take = await this.#takeSome(1000);
      assert.ok(take.batch.length > 0, `${where}: ${left} more events are counted than come`);
      const ids = idsOf(take.batch);
      this.#checkNames(take.batch, ids);
      present.push(...ids);
      left -= ids.length;
      takes.push(take);
    }
    this.#compare(present, where);
    for (const take of takes) await this.alive(take.rollback());
  }

  /** The promise, or the end of this life. */
  async alive<T>(promise: Promise<T>): Promise<T> {
    const boot = this.#boot as Boot;
    const died = boot.crashed.then((operation) => Promise.reject(new Died(operation)));
    died.catch(() => undefined);
    promise.catch(() => undefined);
    return Promise.race([promise, died]);
  }

  #takeSome(max: number): Promise<TakeTransaction> {
    return this.alive(this.#require().beginTake(max));
  }

  #compare(present: readonly number[], where: string): void {
    this.counts.judged++;
    this.counts.present += present.length;
    assert.deepEqual(
      present,
      [...present].sort((a, b) => a - b),
      `${where}: out of order`,
    );
    const found = new Set(present);
    assert.equal(found.size, present.length, `${where}: an event is there twice`);
    for (const one of this.#issued) {
      const { id, state, acknowledged } = one;
      if (!found.has(id)) {
        const mustBe = state === "ok" && acknowledged === "no";
        assert.ok(!mustBe, `${where}: event ${id} was told OK and is lost`);
        if (acknowledged === "settled") one.acknowledged = "synced";
        if (state === "open") {
          this.counts.cut++;
          one.state = "cut";
        }
        continue;
      }
      assert.notEqual(state, "cut", `${where}: event ${id} was cut and has returned`);
      assert.notEqual(acknowledged, "synced", `${where}: event ${id} was acknowledged and is back`);
      if (acknowledged === "settled") this.counts.redelivered++;
      one.acknowledged = "no";
      one.state = "ok";
    }
  }

  #checkNames(batch: EventBatch, ids: readonly number[]): void {
    const { origin } = batch;
    assert.ok(origin !== undefined || ids.length === 0, "a batch knows its origin");
    ids.forEach((id, index) => {
      const name = `${origin?.run}:${(origin?.sequence ?? 0) + index}`;
      const known = this.#names.get(name);
      assert.ok(known === undefined || known === id, `${name} names ${known} and ${id}`);
      this.#names.set(name, id);
    });
  }

  #issue(): Issued {
    const issued: Issued = { id: this.#issued.length, state: "open", acknowledged: "no" };
    this.#issued.push(issued);
    return issued;
  }

  /** Bodies are padded with whole records of the log itself, where there are any. */
  #batchOf(issued: readonly Issued[], bytes: number): EventBatch {
    const paths = this.disk.paths("/data").filter((path) => path.endsWith(".seg"));
    const path = paths[this.#random.integer(Math.max(1, paths.length))];
    const log = path === undefined ? undefined : this.disk.file(path);
    return EventBatch.fromEvents(
      issued.map(({ id }) => {
        const body = Buffer.alloc(Math.max(8, bytes), 0x61);
        log?.content.subarray(4096, 4096 + bytes).copy(body, 8);
        body.write(String(id).padStart(8, "0"), 0, "latin1");
        return { body };
      }),
    );
  }

  #of(id: number): Issued {
    return this.#issued[id] as Issued;
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
