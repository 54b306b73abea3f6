import assert from "node:assert/strict";
import { test } from "node:test";
import { inRequests } from "./kafkajs-producer.ts";

const record = (bytes: number) => ({ value: Buffer.alloc(bytes) });

void test("records go in order into requests that hold them", () => {
  const records = [1000, 1000, 1000, 3000, 10].map(record);
  const parts = inRequests(records, 4096, "t");
  assert.deepEqual(parts.flat(), records);
  assert.deepEqual(parts.map((part) => part.length), [3, 2]); // prettier-ignore
  assert.deepEqual(inRequests([], 4096, "t"), []);
});

void test("a record that no request holds is KAFKA_RECORD_TOO_LARGE, by its place", () => {
  assert.throws(() => inRequests([record(10), record(4000)], 4096, "t"), {
    code: "KAFKA_RECORD_TOO_LARGE",
    message: /event 1 of 2 makes a record of 4032 bytes for topic t; max.request.size is 4096/,
  });
  assert.equal(inRequests([record(3552)], 4096, "t").length, 1);
});
