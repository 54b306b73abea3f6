import {
  createChannelCounters,
  EventBatch,
  noMetrics,
  silentLog,
  systemRuntime,
} from "@millrace/core";
import { optionsOf } from "@millrace/testing";
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { createMemoryChannel } from "./memory-channel.ts";
import { options } from "./options.ts";

/**
 * Heap and buffers are measured in a process of its own, which is this file with the words "measure"
 * and how many events a put has: what the tests' process holds besides would blur the figures.
 */
const [, , word, perPutText] = process.argv;
const count = 100_000;
/** What a collection finds of the program itself meanwhile: 1.5 MiB on Node 22. */
const otherBytes = 2 * 1024 * 1024;

if (word === "measure") {
  process.stdout.write(JSON.stringify(await measure(Number(perPutText))));
} else {
  for (const { how, perPut } of [
    { how: "in batches of 1000", perPut: 1000 },
    { how: "in batches of 20", perPut: 20 },
    { how: "one by one", perPut: 1 },
  ]) {
    test(`${count} events of 500 bytes, put ${how}, cost at most 5 % more than their bytes`, async () => {
      const { eventBytes, grown, held, left } = await measureInChild(perPut);
      assert.equal(eventBytes, count * 500);
      const figures = `${grown} bytes grown, ${held} counted, for ${eventBytes}; ${left} left`;
      assert.ok(grown >= eventBytes - otherBytes, figures);
      assert.ok(grown <= eventBytes * 1.05, figures);
      assert.ok(held >= eventBytes && held <= grown + otherBytes, `${figures}: as counted`);
      assert.ok(left < otherBytes, `${figures} when it is empty again`);
    });
  }
}

interface Measured {
  readonly eventBytes: number;
  /** By how much heap and buffers have grown. */
  readonly grown: number;
  /** What the channel says it holds. */
  readonly held: number;
  /** What is still there of the growth when the channel is empty. */
  readonly left: number;
}

async function measureInChild(perPut: number): Promise<Measured> {
  const node = ["--conditions=millrace-source", "--import", import.meta.resolve("tsx")];
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [...node, "--expose-gc", import.meta.filename, "measure", String(perPut)],
    { env: { ...process.env, NODE_TEST_CONTEXT: undefined }, timeout: 60_000 },
  );
  return JSON.parse(stdout) as Measured;
}

async function measure(perPut: number): Promise<Measured> {
  const channel = createMemoryChannel(
    optionsOf(options, { capacity: "1000000", transactionCapacity: "1000", byteCapacity: "0" }),
    {
      ...{ agent: "a1", name: "c1", runtime: systemRuntime, log: silentLog, metrics: noMetrics },
      ...{ home: "/", systemProperties: new Map(), counters: createChannelCounters() },
      makePart: () => Promise.reject(new Error("a memory channel has no parts")),
    },
  );
  const put = async (events: number): Promise<number> => {
    let bytes = 0;
    for (let done = 0; done < events; done += perPut) {
      const batch = batchOf(perPut, done);
      bytes += batch.byteLength;
      await (await channel.beginPut(batch)).commit();
    }
    return bytes;
  };
  const empty = async (): Promise<void> => {
    while (channel.size > 0) await (await channel.beginTake(1000)).commit();
  };
  await channel.start(new AbortController().signal);
  // Code and caches of the first puts are no event's cost.
  await put(20_000);
  await empty();
  const before = bytesInUse();
  const eventBytes = await put(count);
  const full = bytesInUse();
  const held = channel.bytes;
  await empty();
  return { eventBytes, grown: full - before, held, left: bytesInUse() - before };
}

/** Events of 500 bytes on the wire, as a source hands them over: in a slab of their own. */
function batchOf(length: number, seed: number): EventBatch {
  const headers = new Map([["host", "web-17"]]);
  const body = Buffer.alloc(484, String(seed % 10));
  return EventBatch.fromEvents(Array.from({ length }, () => ({ headers, body })));
}

function bytesInUse(): number {
  const { gc: collect } = globalThis as { gc?: () => void };
  assert.ok(collect, "started with --expose-gc");
  for (let round = 0; round < 4; round++) collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
