/** What the tests of the sink runner share. */
import {
  createArrayChannel,
  createCollectingLog,
  createCollectingMetrics,
  createFakeClock,
  createSeededRandom,
  numberedBatch,
  numbersOf,
} from "@millrace/testing";
import type { Channel } from "../channels/channel.ts";
import { DeliveryError, MillraceError } from "../errors/millrace-error.ts";
import type { EventBatch } from "../events/event-batch.ts";
import { createSinkCounters } from "../metrics/counters.ts";
import type { Sink } from "./sink.ts";
import { createSinkRunner, type SinkRunnerOptions } from "./sink-runner.ts";

export const never = new AbortController().signal;
export const over = AbortSignal.abort();

export type Deliver = (batch: EventBatch, giveUp: AbortSignal, call: number) => Promise<void>;
export interface Wish extends Partial<Pick<Sink, "batchSize" | "deliveriesInFlight" | "flush">> {
  readonly durable?: boolean;
  readonly drainsDurable?: boolean;
  readonly channel?: (inner: Channel) => Partial<Channel>;
}

/** A runner over an array channel, and a sink that keeps what it is handed. */
export async function given(deliver: Deliver = async () => {}, wish: Wish = {}) {
  const clock = createFakeClock();
  const log = createCollectingLog();
  const metrics = createCollectingMetrics();
  const counters = createSinkCounters();
  const inner = createArrayChannel(clock, { durable: wish.durable ?? false });
  const channel = Object.create(inner, {
    ...Object.getOwnPropertyDescriptors(wish.channel?.(inner) ?? {}),
  }) as Channel;
  await channel.start(never);
  const handed: number[][] = [];
  const handedAt: number[] = [];
  const stops: string[] = [];
  const fatal: MillraceError[] = [];
  const sink: Sink = {
    batchSize: wish.batchSize ?? 10,
    deliveriesInFlight: wish.deliveriesInFlight ?? 1,
    start: async () => {},
    stop: async () => void stops.push("stop"),
    deliver(batch, giveUp) {
      handed.push(numbersOf(batch));
      handedAt.push(clock.monotonic());
      return deliver(batch, giveUp, handed.length);
    },
    ...(wish.flush === undefined ? {} : { flush: wish.flush }),
  };
  const options: SinkRunnerOptions = {
    name: "k1",
    sink,
    channel,
    clock,
    // No jitter: 200 of 0..400 is in the middle.
    random: { ...createSeededRandom(1), integer: () => 200 },
    log,
    counters,
    metrics,
    ...(wish.drainsDurable === undefined ? {} : { drainsDurable: wish.drainsDurable }),
    onFatal: (error) => void fatal.push(error),
  };
  const runner = createSinkRunner(options);
  const put = async (from: number, to: number): Promise<void> => {
    await (await channel.beginPut(numberedBatch(from, to))).commit();
  };
  return { clock, log, metrics, counters, channel, sink, runner, put, handed, handedAt, stops, fatal }; // prettier-ignore
}

export const refused = (): MillraceError =>
  new MillraceError("RPC_CONNECT_FAILED", "no one listens");
export const untilGivenUp = (giveUp: AbortSignal): Promise<void> =>
  new Promise((_, reject) => giveUp.addEventListener("abort", () => reject(refused())));

export const settled = (
  ranges: { from: number; to: number }[],
  more: { retryAfterMs?: number; rejected?: { from: number; to: number }[] } = {},
): DeliveryError => new DeliveryError("SINK_WRITE_FAILED", "in part", { settled: ranges, ...more });
