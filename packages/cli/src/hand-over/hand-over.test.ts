import { systemRuntime } from "@millrace/core";
import { createFileChannel } from "@millrace/file-channel";
import {
  channelContext,
  createCollectingLog,
  freePort,
  numberedBatch,
  tempDirectory,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { handOver } from "./hand-over.ts";

const never = new AbortController().signal;

/** Closed channels, each with five events. */
async function channelsOf(context: TestContext, count: number) {
  const folder = await tempDirectory(context);
  const channels = [];
  for (let i = 1; i <= count; i++) {
    const directory = join(folder, `channel-${i}`);
    const options = { dataDirs: [directory], minimumRequiredSpaceBytes: 0, keepAliveMs: 10 };
    const channel = createFileChannel(options, channelContext());
    await channel.start(never);
    await (await channel.beginPut(numberedBatch(1, 5))).commit();
    await channel.stop(never);
    channels.push({ name: `c${i}`, directories: [directory], keys: undefined, stays: undefined });
  }
  return channels;
}

for (const { name, host, why } of [
  {
    name: "that do not answer",
    host: async () => `127.0.0.1:${await freePort()}`,
    why: /^a sibling at .* does not take them/,
  },
  {
    name: "that nobody names",
    // No name server: the question is not answered.
    host: async () => `dns://siblings.test:4141?server=127.0.0.1:${await freePort()}`,
    why: /^channel c1 is not handed over: who is at dns:.* was not said in time$/,
  },
]) {
  void test(`of siblings ${name} it is said, and of every channel what remains`, async (context) => {
    const log = createCollectingLog();
    const channels = await channelsOf(context, 2);
    const ended = handOver(
      { channels, clientProperties: new Map(), listened: [] },
      { hosts: [await host()], withinMs: 1000, properties: new Map() },
      { runtime: systemRuntime, log, systemProperties: new Map(), addresses: [] },
    );
    await within("the hand-over", ended);
    const said = log.lines.map(({ message }) => message);
    for (const { directories } of channels) {
      const remains = said.filter((line) => line.includes(` remain in ${directories.join()};`));
      assert.equal(remains.length, 1, said.join("\n"));
      assert.match(remains.join(), /^5 events/);
    }
    assert.equal(said.filter((line) => why.test(line)).length, 1, said.join("\n"));
    assert.ok(!said.some((line) => /is not known|but this agent/.test(line)), said.join("\n"));
  });
}
