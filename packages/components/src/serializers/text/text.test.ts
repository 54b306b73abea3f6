import { EventBatch } from "@millrace/core";
import { optionsOf, partContext } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { serializer } from "./index.ts";
import { options } from "./options.ts";

const batch = EventBatch.fromEvents([
  { headers: new Map([["host", "a"]]), body: Buffer.from("one") },
  { body: Buffer.alloc(0) },
  { body: Buffer.from("größe\x00") },
]);

async function written(properties: Record<string, string>): Promise<string> {
  const made = (await serializer.create(optionsOf(options, properties), partContext()))();
  const into = [made.header()];
  for (const event of batch) made.write(event, into);
  into.push(made.footer());
  return Buffer.concat(into).toString();
}

void test("text writes each body as a line (T411)", async () => {
  assert.equal(await written({}), "one\n\ngröße\x00\n");
});

void test("text writes the bytes of the bodies only when appendNewline is false (T412)", async () => {
  assert.equal(await written({ appendNewline: "FALSE" }), "onegröße\x00");
});

void test("text passes bodies on without copying them", async () => {
  const made = (await serializer.create(optionsOf(options, {}), partContext()))();
  const event = batch.at(0);
  const into: Buffer[] = [];
  made.write(event, into);
  assert.equal(into.length, 2);
  assert.equal(into[0], event.body);
});
