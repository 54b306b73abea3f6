import { EventBatch, type SelectorContext, systemClock, systemRuntime } from "@millrace/core";
import {
  createArrayChannel,
  createSeededRandom,
  numberedBatch,
  numbers,
  numbersOf,
  optionsOf,
  partContext,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { selector } from "./index.ts";
import { options } from "./options.ts";

async function select(names: string[], properties: Record<string, string> = {}) {
  const channels = new Map(names.map((name) => [name, createArrayChannel(systemClock, { name })]));
  const runtime = { ...systemRuntime, random: createSeededRandom(3) };
  const context: SelectorContext = { ...partContext({ runtime }), name: "r1", channels };
  const made = await selector.create(optionsOf(options, properties), context);
  return (batch: EventBatch): Record<string, number[]> => {
    const { required, optional, unmatched } = made(batch);
    assert.deepEqual([optional.size, unmatched], [0, 0]);
    return Object.fromEntries(Array.from(required, ([{ name }, part]) => [name, numbersOf(part)]));
  };
}

test("each event has one required channel, in rotation over batches, and none optional (T066)", async () => {
  const route = await select(["c1", "c2", "c3"]);
  assert.deepEqual(route(numberedBatch(1, 7)), { c1: [1, 4, 7], c2: [2, 5], c3: [3, 6] });
  assert.deepEqual(route(numberedBatch(8, 8)), { c2: [8] });
  assert.deepEqual(route(numberedBatch(9, 10)), { c3: [9], c1: [10] });
  assert.deepEqual(route(EventBatch.empty), {});
});

test("with policy random every event goes somewhere, to each channel about as many", async () => {
  const route = await select(["c1", "c2", "c3"], { policy: "RANDOM" });
  const routed = route(numberedBatch(1, 600));
  assert.deepEqual(Object.values(routed).flat().sort((a, b) => a - b), numbers(1, 600)); // prettier-ignore
  for (const [name, share] of Object.entries(routed)) {
    assert.ok(share.length > 150 && share.length < 250, `${name} has ${share.length}`);
    assert.deepEqual([...share].sort((a, b) => a - b), share); // prettier-ignore
  }
});

test("a batch of many runs is spread like one of one run", async () => {
  const route = await select(["c1", "c2"]);
  const runs = EventBatch.join(numbers(1, 40).map((n) => numberedBatch(n, n)));
  const { c1, c2 } = route(runs);
  assert.deepEqual([c1, c2], [numbers(1, 20).map((n) => 2 * n - 1), numbers(1, 20).map((n) => 2 * n)]); // prettier-ignore
});

test("one channel gets every batch as it is", async () => {
  const route = await select(["c1"]);
  assert.deepEqual(route(numberedBatch(1, 3)), { c1: [1, 2, 3] });
});

test("load_balancing is known by alias and by class, which Flume's own files cannot use", () => {
  assert.equal(selector.type, "load_balancing");
  assert.deepEqual(selector.aliases, ["org.apache.flume.channel.LoadBalancingChannelSelector"]);
});
