import { type EventBatch, MillraceError } from "@millrace/core";
import {
  createFakeClock,
  optionsOf,
  settle,
  sourceContext,
  sourceContract,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test, type TestContext } from "node:test";
import { source as definition } from "./index.ts";
import { checkOptions, options } from "./options.ts";
import { createThriftLegacySource } from "./thrift-legacy-source.ts";

const never = new AbortController().signal;
const local = { host: "127.0.0.1", port: "0" };

async function started(
  test: TestContext,
  processEventBatch?: (batch: EventBatch) => Promise<void>,
) {
  const clock = createFakeClock();
  const context = sourceContext({
    runtime: { ...sourceContext().runtime, clock },
    ...(processEventBatch && { channelProcessor: { processEventBatch } }),
  });
  const source = createThriftLegacySource(optionsOf(options, local), context);
  await source.start(never);
  test.after(() => source.stop(AbortSignal.abort()));
  const socket = connect(source.port, "127.0.0.1");
  await once(socket, "connect");
  test.after(() => socket.destroy());
  socket.on("error", () => {});
  const discarded = (reason: string) =>
    context.metrics.value("millrace_events_discarded_total", { reason, intended: "false" });
  return { source, context, clock, socket, discarded };
}

/** append({timestamp 1, priority INFO, body, nanos 2, host "h", fields {"field": "value"}}). */
function append(body: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(Buffer.byteLength(body));
  return Buffer.concat([
    Buffer.from(
      "8001000400000006617070656e64000000000c00010a00010000000000000001080002000000030b0003",
      "hex",
    ),
    length,
    Buffer.from(body),
    Buffer.from(
      "0a000400000000000000020b000500000001680d00060b0b00000001000000056669656c640000000576616c75650000",
      "hex",
    ),
  ]);
}

function bodies(batches: readonly EventBatch[]): string[] {
  return batches.flatMap((batch) => [...batch].map(({ body }) => body.toString()));
}

sourceContract("the thrift_legacy source (T943)", () =>
  createThriftLegacySource(optionsOf(options, local), sourceContext()),
);

test("the body and the headers of an OG event arrive (T944, T945)", async (t) => {
  const { context, socket } = await started(t);
  socket.write(append("Generic payload"));
  await waitFor("the event", () => context.batches.length === 1);
  const event = context.batches[0]?.at(0);
  assert.equal(event?.body.toString(), "Generic payload");
  assert.deepEqual(
    [...(event?.headers ?? [])],
    [
      ["host", "h"],
      ["timestamp", "1"],
      ["pri", "INFO"],
      ["nanos", "2"],
      ["field", "value"],
      ["FlumeOG", "yes"],
    ],
  );
  assert.equal(context.counters.EventAcceptedCount, 1);
});

test("a full channel holds the sender back, and nothing is lost", async (t) => {
  let full = true;
  const stored: EventBatch[] = [];
  const { context, socket, clock, discarded } = await started(t, async (batch) => {
    if (full) throw new MillraceError("CHANNEL_FULL", "no room");
    stored.push(batch);
  });
  const sent = Array.from({ length: 50 }, (_, i) => String(i).padEnd(1_000_000, "."));
  for (const body of sent) socket.write(append(body));
  await waitFor("a try", () => context.counters.ChannelWriteFail === 1);
  for (let i = 0; i < 5; i++) {
    await settle(5);
    await clock.advance(5000);
  }
  await waitFor("more tries", () => context.counters.ChannelWriteFail >= 4);
  assert.ok(socket.writableLength > 10_000_000, `${socket.writableLength} wait`);
  full = false;
  await clock.advance(5000);
  await waitFor("all events", () => bodies(stored).length === 50);
  assert.deepEqual(bodies(stored), sent);
  assert.deepEqual([discarded("one_way_stopped"), discarded("one_way_rejected")], [0, 0]);
  const warnings = context.log.lines.filter(({ level }) => level === "warn");
  assert.ok(warnings.length >= 1 && warnings.length < 4, "one line a batch, not one a try");
});

test("of a batch only the event that no channel takes is let go, and counted", async (t) => {
  const stored: EventBatch[] = [];
  const { context, socket, discarded } = await started(t, async (batch) => {
    if (bodies([batch]).includes("bad")) throw new MillraceError("EVENT_REJECTED", "too odd");
    stored.push(batch);
  });
  const sent = ["a", "b", "bad", "c", "d"];
  socket.write(Buffer.concat(sent.map(append)));
  await waitFor("the others", () => bodies(stored).length === 4);
  await waitFor("the loss", () => discarded("one_way_rejected") === 1);
  assert.deepEqual(bodies(stored), ["a", "b", "c", "d"]);
  await waitFor("the count", () => context.counters.EventAcceptedCount === 4);
});

test("a batch over a channel's transaction is stored in parts", async (t) => {
  const stored: EventBatch[] = [];
  const { socket, discarded } = await started(t, async (batch) => {
    if (batch.length > 3) throw new MillraceError("TRANSACTION_TOO_LARGE", "over 3 events");
    stored.push(batch);
  });
  const sent = Array.from({ length: 40 }, (_, i) => `${i}`);
  socket.write(Buffer.concat(sent.map(append)));
  await waitFor("all events", () => bodies(stored).length === 40);
  assert.deepEqual(bodies(stored), sent);
  assert.equal(discarded("one_way_rejected"), 0);
});

test("what is not stored at the stop's deadline is lost by name", async (t) => {
  const { source, context, socket, clock, discarded } = await started(t, async () => {
    throw new MillraceError("CHANNEL_FULL", "no room");
  });
  socket.write(Buffer.concat([append("a"), append("b")]));
  await waitFor("a try", () => context.counters.ChannelWriteFail >= 1);
  const deadline = new AbortController();
  let stopped = false;
  const stop = source.stop(deadline.signal).then(() => (stopped = true));
  await settle(20);
  await clock.advance(20_000);
  assert.equal(stopped, false);
  deadline.abort();
  await within("stop", stop);
  assert.equal(discarded("one_way_stopped"), 2);
  assert.match(
    context.log.lines.find(({ level }) => level === "error")?.message ?? "",
    /2 events are lost/,
  );
});

test("a stop waits until what has come is stored", async (t) => {
  let store: (() => void) | undefined;
  const { source, context, socket, discarded } = await started(
    t,
    () => new Promise((resolve) => (store = resolve)),
  );
  socket.write(append("a"));
  await waitFor("the event", () => store !== undefined);
  const stop = source.stop(never);
  await settle(20);
  store?.();
  await within("stop", stop);
  assert.deepEqual([context.counters.EventAcceptedCount, discarded("one_way_stopped")], [1, 0]);
});

test("bad address rules are refused by check", () => {
  const values = optionsOf(options, { ...local, ipFilter: "true", ipFilterRules: "perhaps" });
  assert.deepEqual(
    checkOptions(values).map(({ key }) => key),
    ["ipFilterRules"],
  );
});

test("the definition makes the source, and says what is lost when", async () => {
  assert.equal(definition.guarantee?.atLeastOnce, false);
  const source = await definition.create(optionsOf(options, local), sourceContext());
  await source.stop(AbortSignal.abort());
});
