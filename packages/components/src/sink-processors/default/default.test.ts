import {
  type EventBatch,
  MillraceError,
  type Sink,
  type SinkProcessorContext,
} from "@millrace/core";
import { numberedBatch, numbersOf, partContext, sinkContract } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { sinkProcessor } from "./index.ts";

const never = new AbortController().signal;

function sink() {
  const made = {
    calls: [] as string[],
    batchSize: 7,
    deliveriesInFlight: 3,
    start: () => Promise.resolve(void made.calls.push("start")),
    stop: () => Promise.resolve(void made.calls.push("stop")),
    flush: () => void made.calls.push("flush"),
    deliver(batch: EventBatch) {
      made.calls.push(`deliver ${numbersOf(batch).join(" ")}`);
      return batch.length < 5
        ? Promise.resolve()
        : Promise.reject(new MillraceError("SINK_WRITE_FAILED", "no"));
    },
  };
  return made;
}

function make(...sinks: Sink[]): Promise<Sink> {
  const named = new Map(sinks.map((one, i) => [`k${i + 1}`, one]));
  const context: SinkProcessorContext = { ...partContext(), name: "g1", sinks: named };
  return sinkProcessor.create({}, context);
}

sinkContract("the default processor", () => make(sink()));

test("the default processor is its one sink, but for starting and stopping it", async () => {
  const only = sink();
  const group = await make(only);
  await group.start(never);
  assert.deepEqual([group.batchSize, group.deliveriesInFlight], [7, 3]);
  await group.deliver(numberedBatch(1, 2), never);
  await assert.rejects(group.deliver(numberedBatch(1, 5), never), { code: "SINK_WRITE_FAILED" });
  group.flush?.();
  await group.stop(never);
  assert.deepEqual(only.calls, ["deliver 1 2", "deliver 1 2 3 4 5", "flush"]);
});

test("the default processor of two sinks, or none, is CONFIG_INVALID", async () => {
  await assert.rejects(make(sink(), sink()), (error) => {
    assert.ok(error instanceof MillraceError && error.code === "CONFIG_INVALID");
    assert.match(error.message, /g1 has 2 sinks; .* takes exactly one/);
    assert.equal(error.context["key"], "sinks");
    return true;
  });
  await assert.rejects(make(), { code: "CONFIG_INVALID" });
});
