import { EventBatch } from "@millrace/core";
import { optionsOf, partContext } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { serializer } from "./index.ts";
import { options } from "./options.ts";

const batch = EventBatch.fromEvents([
  {
    headers: new Map([
      ["host", "a1"],
      ["__proto__", "größe"],
    ]),
    body: Buffer.from("one"),
  },
  { body: Buffer.from("two") },
]);

async function written(properties: Record<string, string>): Promise<string> {
  const made = (await serializer.create(optionsOf(options, properties), partContext()))();
  const into = [made.header()];
  for (const event of batch) made.write(event, into);
  into.push(made.footer());
  return Buffer.concat(into).toString();
}

void test("header_and_text writes headers as Java prints a map, and the body (T413)", async () => {
  assert.equal(await written({}), "{host=a1, __proto__=größe} one\n{} two\n");
});

void test("header_and_text adds no line feed when appendNewline is false (T414)", async () => {
  const text = await written({ appendNewline: "false" });
  assert.equal(text, "{host=a1, __proto__=größe} one{} two");
});

void test("header_and_text passes bodies on without copying them", async () => {
  const made = (await serializer.create(optionsOf(options, {}), partContext()))();
  const event = batch.at(0);
  const into: Buffer[] = [];
  made.write(event, into);
  assert.equal(into[1], event.body);
});
