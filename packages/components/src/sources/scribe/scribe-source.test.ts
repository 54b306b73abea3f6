import { type EventBatch, MillraceError, parseOptions } from "@millrace/core";
import { optionsOf, sourceContext, sourceContract, waitFor, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test, type TestContext } from "node:test";
import { source as definition } from "./index.ts";
import { checkOptions, options } from "./options.ts";
import { createScribeSource } from "./scribe-source.ts";

const never = new AbortController().signal;
const local = { bind: "127.0.0.1", port: "0" };

async function started(
  test: TestContext,
  processEventBatch?: (batch: EventBatch) => Promise<void>,
  properties: Record<string, string> = {},
) {
  const context = sourceContext({
    ...(processEventBatch && { channelProcessor: { processEventBatch } }),
  });
  const source = createScribeSource(optionsOf(options, { ...local, ...properties }), context);
  await source.start(never);
  test.after(() => source.stop(AbortSignal.abort()));
  const socket = connect(source.port, "127.0.0.1");
  await once(socket, "connect");
  test.after(() => socket.destroy());
  socket.on("error", () => {});
  let received = "";
  socket.on("data", (chunk) => (received += chunk.toString("hex")));
  const answer = async (): Promise<string> => {
    await waitFor("an answer", () => received.length >= 48);
    const one = received.slice(0, 48);
    received = received.slice(48);
    return one;
  };
  return { source, context, socket, answer };
}

function string(text: string): Buffer {
  const bytes = Buffer.alloc(4 + Buffer.byteLength(text));
  bytes.writeInt32BE(bytes.length - 4);
  bytes.write(text, 4);
  return bytes;
}

/** A Log of entries of one category, in its frame. */
function log(...messages: string[]): Buffer {
  const entries = messages.map((message) =>
    Buffer.concat([
      Buffer.from([11, 0, 1]),
      string("app"),
      Buffer.from([11, 0, 2]),
      string(message),
      Buffer.from([0]),
    ]),
  );
  const call = Buffer.concat([
    Buffer.from("80010001000000034c6f6700000001", "hex"),
    Buffer.from([15, 0, 1, 12, 0, 0, messages.length >> 8, messages.length & 255]),
    ...entries,
    Buffer.from([0]),
  ]);
  const length = Buffer.alloc(4);
  length.writeInt32BE(call.length);
  return Buffer.concat([length, call]);
}

const reply = (code: number): string => `00000014000000034c6f6702000000010800000000000${code}00`;

sourceContract("the scribe source", () =>
  createScribeSource(optionsOf(options, local), sourceContext()),
);

test("one message is one event (T938)", async (t) => {
  const { context, socket, answer } = await started(t);
  socket.write(log("Sending info msg to scribe source"));
  assert.equal(await answer(), reply(0));
  const event = context.batches[0]?.at(0);
  assert.equal(event?.body.toString(), "Sending info msg to scribe source");
  assert.deepEqual([...(event?.headers ?? [])], [["category", "app"]]);
  assert.equal(context.counters.EventAcceptedCount, 1);
});

test("many messages arrive all in order (T939)", async (t) => {
  const { context, socket, answer } = await started(t);
  const sent = Array.from({ length: 1000 }, (_, i) => `message ${i}`);
  for (let at = 0; at < 1000; at += 100) socket.write(log(...sent.slice(at, at + 100)));
  for (let i = 0; i < 10; i++) assert.equal(await answer(), reply(0));
  const bodies = context.batches.flatMap((batch) => [...batch].map(({ body }) => body.toString()));
  assert.deepEqual(bodies, sent);
});

test("a channel failure is TRY_LATER and one write-fail, and the next Log is taken (T940)", async (t) => {
  let full = true;
  const { context, socket, answer } = await started(t, async () => {
    if (full) throw new MillraceError("CHANNEL_FULL", "no room");
  });
  socket.write(log("a"));
  assert.equal(await answer(), reply(1));
  assert.equal(context.counters.ChannelWriteFail, 1);
  full = false;
  socket.write(log("a"));
  assert.equal(await answer(), reply(0));
});

test("a Log over maxReadBufferBytes closes its connection", async (t) => {
  const { context, socket } = await started(t, undefined, { maxReadBufferBytes: "1000" });
  socket.write(log("x".repeat(2000)));
  await within("the end", once(socket, "close"));
  assert.equal(context.counters.EventReadFail, 1);
  assert.equal(context.batches.length, 0);
});

test("a maxReadBufferBytes of 0 or less is the default, as in Flume", async (t) => {
  const { socket, answer } = await started(t, undefined, { maxReadBufferBytes: "-1" });
  socket.write(log("x".repeat(100_000)));
  assert.equal(await answer(), reply(0));
});

test("port 1499 and all addresses are the defaults; workerThreads is accepted with a note", () => {
  const parsed = parseOptions(options, new Map([["workerThreads", "5"]]));
  assert.deepEqual(parsed.problems, []);
  assert.deepEqual([parsed.options.port, parsed.options.bind], [1499, "0.0.0.0"]);
  assert.deepEqual(
    parsed.notes.map(({ key }) => key),
    ["workerThreads"],
  );
});

test("bad address rules are refused by check", () => {
  const values = optionsOf(options, { ipFilter: "true", ipFilterRules: "perhaps:ip:*" });
  assert.deepEqual(
    checkOptions(values).map(({ key }) => key),
    ["ipFilterRules"],
  );
});

test("the definition makes the source", async () => {
  const source = await definition.create(optionsOf(options, local), sourceContext());
  await source.stop(AbortSignal.abort());
});
