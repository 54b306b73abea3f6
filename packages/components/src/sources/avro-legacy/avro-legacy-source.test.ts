import { type EventBatch, MillraceError } from "@millrace/core";
import { optionsOf, sourceContext, sourceContract, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { request } from "node:http";
import { test, type TestContext } from "node:test";
import { createAvroLegacySource } from "./avro-legacy-source.ts";
import { source as definition } from "./index.ts";
import { checkOptions, options } from "./options.ts";

const never = new AbortController().signal;
const local = { host: "127.0.0.1", port: "0" };

async function started(
  test: TestContext,
  processEventBatch?: (batch: EventBatch) => Promise<void>,
) {
  const context = sourceContext({
    ...(processEventBatch && { channelProcessor: { processEventBatch } }),
  });
  const source = createAvroLegacySource(optionsOf(options, local), context);
  await source.start(never);
  test.after(() => source.stop(AbortSignal.abort()));
  return { source, context };
}

/** A handshake by the hash of a Flume 0.9 agent, and its append of one event. */
const hash = "84f26a5a74af5726d8bc68105669c996";
const event = "02 06 0a 68656c6c6f 04 0a 6c6f63616c 02 06 6b6579 0a 76616c7565 00";
const call = `${hash} 00 ${hash} 0200 00 0c 617070656e64 ${event}`.replaceAll(" ", "");

async function post(port: number): Promise<{ status: number; body: string }> {
  const length = (call.length / 2).toString(16).padStart(8, "0");
  const body = Buffer.from(`${length}${call}00000000`, "hex");
  const sent = request({
    host: "127.0.0.1",
    port,
    method: "POST",
    headers: { "content-type": "avro/binary", "content-length": body.length },
  });
  sent.end(body);
  const [response] = (await within("the response", once(sent, "response"))) as [
    AsyncIterable<Buffer> & { statusCode: number },
  ];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  return { status: response.statusCode, body: Buffer.concat(chunks).toString("hex") };
}

sourceContract("the avro_legacy source (T941)", () =>
  createAvroLegacySource(optionsOf(options, local), sourceContext()),
);

test("the body of an OG event arrives, with its headers (T942)", async (t) => {
  const { source, context } = await started(t);
  const reply = await post(source.port);
  assert.deepEqual(reply, { status: 200, body: "000000040000000000000002000000000000" });
  const stored = context.batches[0]?.at(0);
  assert.equal(stored?.body.toString(), "hello");
  assert.deepEqual(
    [...(stored?.headers ?? [])],
    [
      ["host", "local"],
      ["timestamp", "1"],
      ["pri", "INFO"],
      ["nanos", "2"],
      ["key", "value"],
      ["FlumeOG", "yes"],
    ],
  );
  assert.deepEqual(
    [context.counters.EventReceivedCount, context.counters.EventAcceptedCount],
    [1, 1],
  );
});

test("a channel failure is an error to the sender, not success", async (t) => {
  let full = true;
  const { source, context } = await started(t, async () => {
    if (full) throw new MillraceError("CHANNEL_FULL", "no room");
  });
  const reply = await post(source.port);
  assert.equal(reply.status, 200);
  assert.match(Buffer.from(reply.body, "hex").toString("latin1"), /send it again/);
  assert.equal(context.counters.ChannelWriteFail, 1);
  full = false;
  assert.match((await post(source.port)).body, /00000002000000000000$/);
});

test("bad address rules are refused by check", () => {
  const values = optionsOf(options, { ...local, ipFilter: "true", ipFilterRules: "perhaps" });
  assert.deepEqual(
    checkOptions(values).map(({ key }) => key),
    ["ipFilterRules"],
  );
});

test("the definition makes the source", async () => {
  const source = await definition.create(optionsOf(options, local), sourceContext());
  await source.stop(AbortSignal.abort());
});
