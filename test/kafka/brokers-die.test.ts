/** Brokers that are killed while a channel is put into and taken from. */
import { numberedBatch, numbersOf, waitFor } from "@millrace/testing";
import type { Channel } from "@millrace/core";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { put, startChannel } from "./harness/channels.ts";
import { type Cluster, startCluster } from "./harness/kafka-cluster.ts";

interface Traffic {
  /** The last number that was acknowledged; all below it were, too. */
  readonly acknowledged: () => number;
  /** Tries of puts beyond the first. */
  readonly retries: () => number;
  /** Every number as it was settled. */
  readonly taken: () => readonly number[];
  stopPutting(): Promise<void>;
  stopTaking(): void;
}

/** Puts and takes at once, on two channels; every third take is rolled back or settled in part. */
function runTraffic(source: Channel, sink: Channel): Traffic {
  const taken: number[] = [];
  let last = 0;
  let tries = 0;
  let putting = true;
  let taking = true;
  const puts = (async () => {
    while (putting) {
      tries += (await put(source, numberedBatch(last + 1, last + 20))) - 1;
      last += 20;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  const takes = (async () => {
    for (let round = 0; taking; round++) {
      const take = await sink.beginTake(50);
      const came = numbersOf(take.batch);
      // A channel that was stopped answers at once: the test would never get to its end.
      if (came.length === 0) await new Promise((resolve) => setImmediate(resolve));
      if (round % 6 === 2) await take.rollback();
      else if (round % 6 === 5) {
        const half = Math.floor(came.length / 2);
        taken.push(...came.slice(0, half));
        await take.commit(half === 0 ? [] : [{ from: 0, to: half }]);
      } else {
        taken.push(...came);
        await take.commit();
      }
    }
  })();
  puts.catch(() => {});
  takes.catch(() => {});
  return {
    acknowledged: () => last,
    retries: () => tries,
    taken: () => taken,
    async stopPutting() {
      putting = false;
      await puts;
    },
    stopTaking() {
      taking = false;
    },
  };
}

async function judge(
  t: TestContext,
  traffic: Traffic,
  cluster: Cluster,
  topic: string,
): Promise<void> {
  await traffic.stopPutting();
  const last = traffic.acknowledged();
  const missing = (): number => {
    const came = new Set(traffic.taken());
    let count = 0;
    for (let n = 1; n <= last; n++) if (!came.has(n)) count++;
    return count;
  };
  await waitFor("every acknowledged event", () => missing() === 0, 60_000);
  const isCommitted = async (): Promise<boolean> => {
    const committed = await cluster.committed(topic, "g");
    return committed.reduce((sum, offset) => sum + offset, 0) === (await cluster.count(topic));
  };
  // The admin may still ask the broker that led before.
  await waitFor("the last commit", () => isCommitted().catch(() => false), 30_000);
  traffic.stopTaking();
  const taken = traffic.taken();
  assert.ok(
    taken.every((n) => n >= 1 && n <= last),
    "nothing came that was not put",
  );
  t.diagnostic(
    `${last} events, ${taken.length - new Set(taken).size} of them twice, ${traffic.retries()} puts tried again`,
  );
  assert.ok(last > 500, `${last} events only`);
}

function propertiesOn(cluster: Cluster, topic: string): Record<string, string> {
  return {
    "kafka.bootstrap.servers": cluster.bootstrapServers,
    "kafka.topic": topic,
    "kafka.consumer.group.id": "g",
    "kafka.consumer.session.timeout.ms": "3000",
    "kafka.producer.request.timeout.ms": "3000",
    "kafka.producer.delivery.timeout.ms": "5000",
  };
}

void test("the only broker killed and started again under puts and takes loses nothing [lost: kafka | store dies | nothing; some twice]", async (t) => {
  const cluster = await startCluster(t);
  if (cluster === undefined) return;
  const [broker] = cluster.brokers;
  assert.ok(broker !== undefined);
  await cluster.createTopic("one", 2);
  const source = await startChannel(t, propertiesOn(cluster, "one"));
  const sink = await startChannel(t, propertiesOn(cluster, "one"));
  const traffic = runTraffic(source.channel, sink.channel);
  for (let round = 0; round < 2; round++) {
    const before = traffic.taken().length;
    await waitFor("traffic", () => traffic.taken().length > before + 200, 60_000);
    await broker.kill();
    await waitFor("the trouble", () => source.channel.trouble !== undefined, 30_000);
    assert.equal(source.channel.trouble?.code, "KAFKA_UNAVAILABLE");
    await broker.start();
  }
  const before = traffic.acknowledged();
  await waitFor("puts again", () => traffic.acknowledged() > before + 100, 60_000);
  await judge(t, traffic, cluster, "one");
  assert.ok(traffic.retries() > 0, "a put was tried again");
  assert.equal(source.channel.trouble, undefined);
  assert.equal(sink.channel.trouble, undefined);
});

void test("two of three brokers killed one after another under puts and takes lose nothing", async (t) => {
  const cluster = await startCluster(t, { nodes: 3 });
  if (cluster === undefined) return;
  await cluster.createTopic("three", 3);
  const source = await startChannel(t, propertiesOn(cluster, "three"));
  const sink = await startChannel(t, propertiesOn(cluster, "three"));
  const traffic = runTraffic(source.channel, sink.channel);
  for (const broker of cluster.brokers.slice(1)) {
    const startMs = performance.now();
    const seconds = (): string => ((performance.now() - startMs) / 1000).toFixed(1);
    const before = { put: traffic.acknowledged(), taken: traffic.taken().length };
    await waitFor("traffic", () => traffic.taken().length > before.taken + 200, 60_000);
    await broker.kill();
    const dead = { put: traffic.acknowledged(), taken: traffic.taken().length };
    await waitFor(
      "puts and takes without it",
      () => traffic.acknowledged() > dead.put + 100 && traffic.taken().length > dead.taken + 100,
      60_000,
    );
    const without = seconds();
    await broker.start();
    await cluster.inSync("three", 3);
    t.diagnostic(
      `puts and takes went on after ${without} s, all were in sync after ${seconds()} s`,
    );
  }
  await judge(t, traffic, cluster, "three");
});
