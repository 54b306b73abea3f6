import { editHeaders, EventBatch } from "@millrace/core";
import { optionsOf, partContext } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { interceptor } from "./index.ts";
import { options } from "./options.ts";

const cases = [
  { name: "static sets key to value by default (T518)", given: {}, want: { key: "value" } },
  {
    name: "static sets the header and value it is told (T519)",
    given: { key: "dc", value: "berlin 1" },
    want: { dc: "berlin 1" },
  },
  {
    name: "static replaces an existing value when preserveExisting is false (T520)",
    given: { key: "dc", value: "new", preserveExisting: "false" },
    headers: { dc: "old", other: "x" },
    want: { dc: "new", other: "x" },
  },
  {
    name: "static keeps an existing value otherwise (T521)",
    given: { key: "dc", value: "new" },
    headers: { dc: "old" },
    want: { dc: "old" },
  },
];

for (const { name, given, headers, want } of cases) {
  void test(name, async () => {
    const made = await interceptor.create(
      optionsOf(options, given as Record<string, string>),
      partContext(),
    );
    assert.ok(typeof made === "object", "it declares its edits");
    const batch = EventBatch.fromEvents([
      { headers: new Map(Object.entries(headers ?? {})), body: Buffer.from("x") },
    ]);
    const edited = editHeaders(batch, made.edits()).at(0);
    assert.deepEqual(Object.fromEntries(edited.headers), want);
    assert.equal(edited.body.toString(), "x");
  });
}
