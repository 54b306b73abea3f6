import { EventBatch } from "@millrace/core";
import { numberedBatch, optionsOf, sinkContext, sinkContract } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { sink as definition } from "./index.ts";
import { createLoggerSink } from "./logger.ts";
import { options } from "./options.ts";

const never = new AbortController().signal;

sinkContract("the logger sink", () => createLoggerSink(optionsOf(options, {}), sinkContext()));

async function logged(
  body: string | Buffer,
  headers: Record<string, string> = {},
  properties: Record<string, string> = {},
): Promise<string> {
  const context = sinkContext();
  const sink = await definition.create(optionsOf(options, properties), context);
  const event = { headers: new Map(Object.entries(headers)), body: Buffer.from(body) };
  await sink.deliver(EventBatch.fromEvents([event]), never);
  assert.equal(context.log.lines.length, 1);
  assert.equal(context.log.lines[0]?.level, "info");
  return context.log.lines[0].message;
}

void test("the logger sink logs each event of a batch, in order (T462)", async () => {
  const context = sinkContext();
  const sink = createLoggerSink(optionsOf(options, {}), context);
  await sink.deliver(numberedBatch(1, 12), never);
  assert.equal(context.log.lines.length, 12);
  assert.match(context.log.lines[9]?.message ?? "", /^Event: \{ headers:\{n=10\} body: 31 30 /);
});

const cases = [
  {
    name: "a body shows as sixteen bytes in hexadecimal and as text, as in Flume",
    body: "Hello world!\r",
    want: "Event: { headers:{} body: 48 65 6C 6C 6F 20 77 6F 72 6C 64 21 0D          Hello world!. }",
  },
  {
    name: "a body is cut at sixteen bytes when nothing else is said",
    body: "0123456789abcdefXYZ",
    want: "Event: { headers:{} body: 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66 0123456789abcdef }",
  },
  {
    name: "an empty body shows as nothing",
    body: "",
    want: "Event: { headers:{} body: }",
  },
  {
    name: "headers show as Java prints a map, and cannot begin a new line",
    body: Buffer.from([0, 127, 255]),
    headers: { host: "a1", forged: "x\n2026 ERROR \u001b[31mno" },
    want: `Event: { headers:{host=a1, forged=x.2026 ERROR .[31mno} body: 00 7F FF${" ".repeat(40)}... }`,
  },
  {
    name: "maxBytesToLog shows more, in rows with offsets (T463)",
    body: "0123456789abcdefXYZ",
    properties: { maxBytesToLog: "18" },
    want:
      "Event: { headers:{} body: 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66 0123456789abcdef\n" +
      `00000010 58 59${" ".repeat(43)}XY }`,
  },
  {
    name: "maxBytesToLog 0 shows headers only",
    body: "abc",
    properties: { maxBytesToLog: "0" },
    want: "Event: { headers:{} body: }",
  },
];

for (const { name, body, headers, properties, want } of cases) {
  void test(name, async () => {
    const text = await logged(body, headers, properties as Record<string, string> | undefined);
    assert.equal(text, want);
  });
}
