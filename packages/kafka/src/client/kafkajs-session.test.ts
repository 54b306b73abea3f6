import { createCollectingLog, createFakeClock, waitFor } from "@millrace/testing";
import type { ConsumerConfig, EachBatchPayload, Kafka } from "kafkajs";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConsumerSettings } from "./client-settings.ts";
import type { ConsumerListener, FetchedBatch, StartPosition } from "./kafka-client.ts";
import { KafkajsSession } from "./kafkajs-session.ts";

const settings: ConsumerSettings = {
  sessionTimeoutMs: 30_000,
  heartbeatIntervalMs: 3_000,
  rebalanceTimeoutMs: 60_000,
  fetchMinBytes: 1,
  fetchMaxBytes: 1_000_000,
  partitionFetchBytesMax: 1_000_000,
  fetchWaitMs: 500,
  startsAt: "earliest",
  readsUncommitted: true,
  assignment: "range",
  createsTopics: true,
};

/** What a session asks of kafkajs, in order, and a way to be kafkajs. */
async function begin(own?: Partial<ConsumerListener>) {
  const calls: string[] = [];
  const listeners = new Map<string, (event: { payload: unknown }) => void>();
  const state = { low: 0, high: 100, committed: [10, -1], answers: true };
  /** So many partitions the asked broker has heard of. */
  const partitions = { known: 2 };
  const known = <T>(all: readonly T[]): readonly T[] => all.slice(0, partitions.known);
  let eachBatch: (payload: EachBatchPayload) => Promise<void> = () => Promise.resolve();
  const cluster = { getNodeIds: () => [1] };
  const kafka = {
    consumer: ({ partitionAssigners }: ConsumerConfig) => ({
      assigners: partitionAssigners?.map((make) => make({ cluster } as never)),
      events: {
        ...{ GROUP_JOIN: "join", REBALANCING: "rebalancing", CRASH: "crash" },
        START_BATCH_PROCESS: "batch",
      },
      on: (name: string, listener: (event: { payload: unknown }) => void) =>
        listeners.set(name, listener),
      connect: () => Promise.resolve(),
      subscribe: () => Promise.resolve(),
      run: (config: { eachBatch: typeof eachBatch }) => {
        eachBatch = config.eachBatch;
        return Promise.resolve();
      },
      seek: ({ partition, offset }: { partition: number; offset: string }) =>
        calls.push(`seek ${partition} ${offset}`),
      pause: ([{ partitions }]: [{ partitions: number[] }]) => calls.push(`pause ${partitions[0]}`),
      resume: ([{ partitions }]: [{ partitions: number[] }]) =>
        calls.push(`resume ${partitions[0]}`),
      commitOffsets: () => Promise.resolve(calls.push("commit that repeats")),
      disconnect: () => Promise.resolve(),
    }),
    admin: () => ({
      connect: () => Promise.resolve(),
      disconnect: () => Promise.resolve(),
      fetchTopicOffsets: () =>
        state.answers
          ? Promise.resolve(
              known([0, 1]).map((partition) => ({
                ...{ partition, low: String(state.low), high: String(state.high) },
              })),
            )
          : Promise.reject(new Error("no answer")),
      fetchOffsets: () =>
        Promise.resolve([
          {
            topic: "t",
            partitions: known(state.committed).map((offset, partition) => ({
              ...{ partition, offset: String(offset) },
            })),
          },
        ]),
    }),
  } as unknown as Kafka;
  const fetched: FetchedBatch[] = [];
  const expired: [number, number][] = [];
  const assigned: (readonly StartPosition[])[] = [];
  const failures: unknown[] = [];
  const listener: ConsumerListener = {
    assigned(committed) {
      assigned.push(committed);
      return committed;
    },
    suspended: () => calls.push("suspended"),
    fetched: (batch) => fetched.push(batch),
    expired: ({ offset }, to) => expired.push([offset, to]),
    failed: (error) => failures.push(error),
    ...own,
  };
  const clock = createFakeClock();
  const log = createCollectingLog();
  const subscription = { topic: "t", groupId: "g" };
  const session = new KafkajsSession({ kafka, settings, subscription, listener, clock, log }, true);
  const stopping = new AbortController();
  const ended = session.run(stopping.signal);
  ended.catch(() => {});
  await waitFor("the start", () => listeners.size === 4);
  await clock.advance(0);

  return {
    ...{
      cluster,
      session,
      calls,
      fetched,
      expired,
      assigned,
      failures,
      state,
      partitions,
      clock,
      ended,
      stopping,
    },
    emit: (name: string, payload: unknown) => listeners.get(name)?.({ payload }),
    async join(...partitions: number[]) {
      const before = calls.length;
      listeners.get("join")?.({ payload: { memberAssignment: { t: partitions } } });
      await waitFor("the positions", () => calls.slice(before).some((c) => c.startsWith("resume")));
    },
    /** A batch of offsets `from..to` in answer to a question for `asked`; gives what was resolved. */
    async batch(partition: number, asked: number, from: number, to: number) {
      const resolved: string[] = [];
      const messages = [];
      for (let offset = from; offset <= to; offset++) {
        messages.push({
          offset: String(offset),
          key: null,
          value: Buffer.from("v"),
          timestamp: "5",
        });
      }
      await eachBatch({
        batch: {
          ...{ topic: "t", partition, messages, fetchedOffset: String(asked) },
          ...{
            highWatermark: "100",
            lastOffset: () => String(to),
            firstOffset: () => String(from),
          },
        },
        resolveOffset: (offset: string) => resolved.push(offset),
        commitOffsetsIfNecessary: (offsets: unknown) =>
          Promise.resolve(calls.push(`commit ${JSON.stringify(offsets)}`)),
      } as unknown as EachBatchPayload);
      return resolved;
    },
  };
}

void test("a partition is paused when it is assigned, and read from the position its owner names", async () => {
  const { join, calls, assigned, batch, fetched } = await begin({
    assigned: (committed) => committed.map((one) => ({ ...one, offset: one.offset + 5 })),
  });
  await join(0, 1);
  assert.deepEqual(calls, ["pause 0", "pause 1", "seek 0 15", "resume 0", "seek 1 5", "resume 1"]);
  assert.deepEqual(assigned, []);
  assert.deepEqual(await batch(0, 15, 16, 18), ["18"], "offsets may have gaps");
  assert.deepEqual(fetched.map(({ nextOffset, highWatermark }) => [nextOffset, highWatermark]), [[19, 100]]); // prettier-ignore
  assert.deepEqual(fetched[0]?.records[0], {
    ...{ offset: 16, key: null, value: Buffer.from("v"), timestampMs: 5 },
  });
});

void test("the owner is told which offsets are the group's own, and which only where it begins", async () => {
  const { join, assigned, state } = await begin();
  await join(0, 1);
  state.low = 20;
  await join(0, 1);
  assert.deepEqual(
    assigned.map((starts) => starts.map(({ offset, committed }) => [offset, committed])),
    [
      [
        [10, 10],
        [0, undefined],
      ],
      [
        [20, 10],
        [20, undefined],
      ],
    ],
  );
});

void test("an answer to a question of before the rebalance is not taken, and the position set anew", async () => {
  const { join, batch, fetched, calls, expired } = await begin();
  await join(0);
  await batch(0, 10, 10, 19);
  calls.length = 0;
  assert.deepEqual(await batch(0, 40, 40, 49), [], "nothing is resolved");
  await waitFor("the seek", () => calls.includes("resume 0"));
  assert.deepEqual(calls, ["pause 0", "seek 0 20", "resume 0"]);
  assert.deepEqual(await batch(0, 20, 20, 29), ["29"]);
  assert.deepEqual(fetched.map(({ nextOffset }) => nextOffset), [20, 30]); // prettier-ignore
  assert.deepEqual(expired, []);
});

void test("a batch of a partition that is not ours, or not yet agreed on, is not taken", async () => {
  const { emit, batch, fetched, state } = await begin();
  state.answers = false;
  emit("join", { memberAssignment: { t: [0] } });
  assert.deepEqual(await batch(0, 10, 10, 19), []);
  assert.deepEqual(await batch(1, 0, 0, 9), []);
  assert.deepEqual(fetched, []);
});

void test("records that are gone are told, and reading goes on behind them", async () => {
  const { join, batch, calls, expired, state, fetched } = await begin();
  await join(0);
  state.low = 30;
  await batch(0, 30, 30, 39);
  await waitFor("the seek", () => calls.at(-1) === "resume 0" && calls.at(-2) === "seek 0 30");
  assert.deepEqual(expired, [[10, 30]]);
  await batch(0, 30, 30, 39);
  assert.equal(fetched.length, 1);
  await join(0);
  assert.deepEqual(expired.at(-1), [10, 30], "so are those below the group's own offset");
});

void test("records that are not for us move the position on", async () => {
  const { join, batch, emit, fetched } = await begin();
  await join(0);
  emit("batch", { partition: 0, batchSize: 0, lastOffset: "14" });
  emit("batch", { partition: 0, batchSize: 7, lastOffset: "99" });
  await batch(0, 15, 15, 19);
  assert.equal(fetched.length, 1);
});

void test("a commit goes out once, for partitions that are ours", async () => {
  const { session, join, batch, calls, emit } = await begin();
  const position = { topic: "t", partition: 0, offset: 12 };
  await assert.rejects(session.commit([position]), { code: "KAFKA_UNAVAILABLE" });
  await join(0, 1);
  await batch(0, 10, 10, 19);
  calls.length = 0;
  await session.commit([position, { ...position, partition: 1 }]);
  assert.deepEqual(calls, [
    'commit {"topics":[{"topic":"t","partitions":[{"partition":0,"offset":"12"},{"partition":1,"offset":"12"}]}]}',
  ]);
  await join(1);
  calls.length = 0;
  await assert.rejects(session.commit([position]), /partition 0 of topic t is not ours now/);
  emit("rebalancing", {});
  await assert.rejects(session.commit([{ ...position, partition: 1 }]), /not ours now/);
  assert.deepEqual(calls, ["suspended"]);
});

void test("a member that the group had forgotten owns nothing until it has agreed on positions anew", async () => {
  const { session, join, batch, calls, emit, state } = await begin();
  await join(0);
  await batch(0, 10, 10, 19);
  calls.length = 0;
  // kafkajs joins again without a word about a rebalance; another member has moved on meanwhile.
  state.answers = false;
  emit("join", { memberAssignment: { t: [0] } });
  assert.deepEqual(calls, ["suspended", "pause 0"]);
  const old = session.commit([{ topic: "t", partition: 0, offset: 12 }]);
  await assert.rejects(old, /not ours now/);
});

void test("a partition that the asked broker does not know is asked for again, not read from its beginning", async () => {
  const { emit, clock, calls, failures, state, partitions } = await begin();
  partitions.known = 1;
  state.committed = [10, 50];
  emit("join", { memberAssignment: { t: [1] } });
  await waitFor("the failure", () => failures.length === 1);
  assert.match(String(failures[0]), /partition 1 of topic t is not known/);
  assert.deepEqual(calls, ["pause 1"]);
  partitions.known = 2;
  await clock.advance(500);
  await waitFor("the position", () => calls.includes("resume 1"));
  assert.deepEqual(calls, ["pause 1", "seek 1 50", "resume 1"]);
});

void test("offsets that cannot be read are asked for again, and the owner hears of it", async () => {
  const { emit, state, failures, clock, calls } = await begin();
  state.answers = false;
  emit("join", { memberAssignment: { t: [0] } });
  await waitFor("the failure", () => failures.length === 1);
  state.answers = true;
  await clock.advance(500);
  await waitFor("the position", () => calls.includes("seek 0 10"));
});

void test("a batch that its owner cannot take ends the session, and is not passed over", async () => {
  const { join, batch, ended } = await begin({
    fetched() {
      throw new Error("cannot take it");
    },
  });
  await join(0);
  assert.deepEqual(await batch(0, 10, 10, 19), []);
  await assert.rejects(ended, /cannot take it/);
});

void test("what ends kafkajs ends the session; an end of ours is none", async () => {
  const one = await begin();
  one.emit("crash", { error: new Error("gave up") });
  await assert.rejects(one.ended, /gave up/);
  const other = await begin();
  other.stopping.abort();
  await other.ended;
  assert.deepEqual(other.cluster.getNodeIds(), [1]);
  await other.session.close();
  assert.throws(() => other.cluster.getNodeIds(), /closed/, "ends fetchers that start too late");
});

void test("a closed flow keeps partitions paused, also those that come", async () => {
  const { session, join, calls } = await begin();
  await join(0);
  calls.length = 0;
  session.flow(false);
  session.flow(false);
  session.flow(true);
  assert.deepEqual(calls, ["pause 0", "resume 0"]);
});
