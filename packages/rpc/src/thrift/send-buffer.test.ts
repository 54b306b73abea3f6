import assert from "node:assert/strict";
import { test } from "node:test";
import { SendBuffer } from "./send-buffer.ts";

const size = 500_000;

void test("a request's memory is lent again once it is written, and not before", () => {
  const memory = new SendBuffer();
  const first = memory.lend(1, size);
  const second = memory.lend(2, size);
  assert.notEqual(first.buffer, second.buffer);
  memory.written(1);
  const third = memory.lend(3, size + 100);
  assert.equal(third.buffer, first.buffer);
  assert.equal(third.length, size + 100);
  assert.notEqual(memory.lend(4, size).buffer, second.buffer);
});

void test("a larger request gets memory of its own, which is then kept", () => {
  const memory = new SendBuffer();
  const small = memory.lend(1, size);
  memory.written(1);
  const large = memory.lend(2, size * 2);
  assert.notEqual(large.buffer, small.buffer);
  memory.written(2);
  assert.equal(memory.lend(3, size).buffer, large.buffer);
});

void test("small and very large requests are not kept, and may be told as written", () => {
  const memory = new SendBuffer();
  const huge = memory.lend(1, 10_000_000);
  memory.written(1);
  memory.written(1);
  assert.notEqual(memory.lend(2, 10_000_000).buffer, huge.buffer);
  assert.equal(memory.lend(3, 100).length, 100);
});
