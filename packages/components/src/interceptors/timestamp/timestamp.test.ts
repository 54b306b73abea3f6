import { editHeaders, EventBatch, systemRuntime } from "@millrace/core";
import { createFakeClock, optionsOf, partContext } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { interceptor } from "./index.ts";
import { options } from "./options.ts";

const startMs = 1_700_000_000_000;

async function make(properties: Record<string, string>) {
  const clock = createFakeClock(startMs);
  const context = partContext({ runtime: { ...systemRuntime, clock } });
  const made = await interceptor.create(optionsOf(options, properties), context);
  assert.ok(typeof made === "object", "it declares its edits");
  return { made, clock };
}

async function headersAfter(
  properties: Record<string, string>,
  headers: Record<string, string> = {},
): Promise<Record<string, string>> {
  const { made } = await make(properties);
  const batch = EventBatch.fromEvents([
    { headers: new Map(Object.entries(headers)), body: Buffer.from("x") },
  ]);
  return Object.fromEntries(editHeaders(batch, made.edits()).at(0).headers);
}

void test("timestamp sets the header timestamp to now (T522)", async () => {
  assert.deepEqual(await headersAfter({}), { timestamp: String(startMs) });
});

void test("timestamp keeps an existing value when told to (T523)", async () => {
  const headers = await headersAfter({ preserveExisting: "true" }, { timestamp: "1" });
  assert.deepEqual(headers, { timestamp: "1" });
  assert.deepEqual(await headersAfter({ preserveExisting: "true" }), {
    timestamp: String(startMs),
  });
});

void test("timestamp replaces an existing value otherwise (T524)", async () => {
  assert.deepEqual(await headersAfter({}, { timestamp: "1" }), { timestamp: String(startMs) });
});

void test("timestamp sets the header it is told, and no other (T525)", async () => {
  const headers = await headersAfter({ headerName: "received" }, { timestamp: "1" });
  assert.deepEqual(headers, { timestamp: "1", received: String(startMs) });
});

void test("timestamp reads the clock for each batch", async () => {
  const { made, clock } = await make({});
  const first = made.edits()[0]?.value;
  await clock.advance(1500);
  assert.equal(first, String(startMs));
  assert.equal(made.edits()[0]?.value, String(startMs + 1500));
});
