import type { EventBatch } from "@millrace/core";
import {
  channelContext,
  createFakeClock,
  createSeededRandom,
  numberedBatch,
  numbers,
  numbersOf,
  optionsOf,
  SimulatedDisk,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createConfiguredFileChannel } from "./file-channel.ts";
import { channel as definition } from "./index.ts";
import { options } from "./options.ts";

const never = new AbortController().signal;

async function started(properties: Record<string, string>) {
  const clock = createFakeClock();
  const random = createSeededRandom(1);
  let reads = 0;
  const { files, locks } = new SimulatedDisk({ random, capacityBytes: 2 ** 30 }).boot({
    fault({ kind }) {
      if (kind === "read") reads++;
      return undefined;
    },
  });
  const context = channelContext({ runtime: { clock, random, files, locks } });
  const all = { dataDirs: "/data/one", minimumRequiredSpace: "1", ...properties };
  const channel = createConfiguredFileChannel(optionsOf(options, all), context);
  await channel.start(never);
  const put = async (batch: EventBatch): Promise<void> => {
    await (await channel.beginPut(batch)).commit();
  };
  const drain = async (): Promise<number[]> => {
    const taken: number[] = [];
    while (channel.size > 0) {
      const take = await channel.beginTake(100);
      taken.push(...numbersOf(take.batch));
      await take.commit();
    }
    return taken;
  };
  const reconfigure = (changed: Record<string, string>): void =>
    channel.reconfigure(optionsOf(options, { ...all, ...changed }));
  return { channel, put, drain, reconfigure, reads: () => reads };
}

test("a full channel that is reconfigured while it is open still gives all it holds (T618)", async () => {
  const { channel, put, drain, reconfigure } = await started({
    ...{ capacity: "10", transactionCapacity: "10", "keep-alive": "0" },
  });
  await put(numberedBatch(1, 10));
  await assert.rejects(channel.beginPut(numberedBatch(11, 11)), { code: "CHANNEL_FULL" });
  reconfigure({ capacity: "5", transactionCapacity: "5", memoryBytes: "65536" });
  assert.equal(channel.readCounters?.()["ChannelCapacity"], 5);
  assert.deepEqual(await drain(), numbers(1, 10));
  await put(numberedBatch(11, 15));
  await channel.stop(never);
});

test("more capacity and more bytes serve the put that waits for them", async () => {
  const { channel, put, drain, reconfigure } = await started({
    ...{ capacity: "10", transactionCapacity: "10", byteCapacity: "4096" },
  });
  await put(numberedBatch(1, 10));
  const waiting = channel.beginPut(numberedBatch(11, 11));
  reconfigure({ capacity: "20" });
  await (await waiting).commit();
  const large = (): EventBatch =>
    numberedBatch(12, 12).map(({ headers }) => ({ headers, body: Buffer.alloc(3000) }));
  const waitingForBytes = channel.beginPut(large());
  reconfigure({ capacity: "20", byteCapacity: "65536" });
  await (await waitingForBytes).commit();
  assert.equal((await drain()).length, 12);
  await channel.stop(never);
});

test("memoryBytes that is raised keeps in memory what is put from then on", async () => {
  for (const memoryBytes of ["65536", "10000000"]) {
    const { channel, put, drain, reconfigure, reads } = await started({ memoryBytes: "65536" });
    reconfigure({ memoryBytes });
    const before = reads();
    for (let n = 1; n <= 300; n += 10) {
      const events = numberedBatch(n, n + 9).map(({ headers, body }) => ({
        headers,
        body: Buffer.from(body.toString().padEnd(2000)),
      }));
      await put(events);
    }
    assert.deepEqual(await drain(), numbers(1, 300));
    const readBack = reads() - before;
    assert.equal(readBack > 0, memoryBytes === "65536", `${readBack} reads with ${memoryBytes}`);
    await channel.stop(never);
  }
});

test("its directories, its log and its keys need a restart", () => {
  assert.deepEqual(definition.resizable, [
    ...["capacity", "byteCapacity", "transactionCapacity", "keepAliveSeconds", "memoryBytes"],
  ]);
});
