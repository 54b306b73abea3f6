import { systemRuntime } from "@millrace/core";
import {
  createFakeClock,
  numberedBatch,
  optionsOf,
  sinkContext,
  sinkContract,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { sink as definition } from "./index.ts";
import { createNullSink } from "./null.ts";
import { options } from "./options.ts";

const never = new AbortController().signal;

sinkContract("the null sink", () => createNullSink(optionsOf(options, {}), sinkContext()));

void test("the null sink says how much it has discarded, at most once a second", async () => {
  const clock = createFakeClock();
  const context = sinkContext({ runtime: { ...systemRuntime, clock } });
  const values = optionsOf(options, { logEveryNEvents: "10" });
  const sink = createNullSink(values, context);
  const messages = () => context.log.lines.map(({ message }) => message);
  await sink.deliver(numberedBatch(1, 9), never);
  assert.deepEqual(messages(), []);
  await sink.deliver(numberedBatch(10, 14), never);
  assert.deepEqual(messages(), ["null sink k1 has discarded 14 events"]);
  await sink.deliver(numberedBatch(1, 20), never);
  assert.equal(messages().length, 1);
  await clock.advance(1000);
  await sink.deliver(numberedBatch(1, 1), never);
  assert.equal(messages().length, 1, "35 events: the next round number is not reached");
  await sink.deliver(numberedBatch(1, 5), never);
  assert.equal(messages()[1], "null sink k1 has discarded 40 events");
});

void test("the null sink asks for batchSize events, 100 when not set", async () => {
  const made = await definition.create(optionsOf(options, { batchSize: "7" }), sinkContext());
  assert.equal(made.batchSize, 7);
  assert.equal(definition.batchSize?.(optionsOf(options, {})), 100);
});
