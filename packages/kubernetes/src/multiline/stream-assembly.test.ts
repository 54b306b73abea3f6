import { createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ContainerLine } from "../lines/container-line.ts";
import { StreamAssembly } from "./stream-assembly.ts";

interface Sent {
  readonly text: string;
  readonly part?: number;
  readonly more?: boolean;
}

function given(maxLineBytes: number, firstLine?: RegExp) {
  const sent: Sent[] = [];
  const assembly = new StreamAssembly<string>("stdout", {
    maxLineBytes,
    firstLine: () => firstLine,
    emit({ body, part, hasMore }) {
      sent.push({ text: body.toString(), ...(part === undefined ? {} : { part, more: hasMore }) });
    },
  });
  let offset = 0;
  const take = (text: string, isPartial = false): void => {
    assembly.take(line(text, isPartial), { file: "0.log", offset, textBefore: 0 }, offset);
    offset += 10;
  };
  return { assembly, sent, take };
}

function line(text: string, isPartial: boolean): ContainerLine {
  return { stream: "stdout", timestampMs: 1, text: Buffer.from(text), isPartial };
}

void test("pieces are joined to a line, and the position stays at its first piece", () => {
  const { assembly, sent, take } = given(100);
  take("whole");
  take("one ", true);
  take("two ", true);
  assert.equal(assembly.pending?.offset, 10);
  take("three");
  assert.equal(assembly.pending, undefined);
  assert.deepEqual(sent, [{ text: "whole" }, { text: "one two three" }]);
});

void test("lines belong to the event whose first line came before them", () => {
  const { assembly, sent, take } = given(100, /^\S/);
  for (const text of ["Error: a", "  at b", "  at c", "Error: d"]) take(text);
  assert.deepEqual(sent, [{ text: "Error: a\n  at b\n  at c" }]);
  assert.equal(assembly.pending?.offset, 30);
  assembly.flush();
  assert.deepEqual(sent[1], { text: "Error: d" });
});

void test("a line that goes on is asked for the pattern once, at its beginning", () => {
  const { sent, take, assembly } = given(100, /^\S/);
  take("first ", true);
  take("still the first");
  take(" and more");
  assembly.flush();
  assert.deepEqual(sent, [{ text: "first still the first\n and more" }]);
});

void test("an event that is too long is cut into parts with numbers, none of them empty", () => {
  const { sent, take } = given(4);
  take("01234567");
  take("89");
  take("0123456789");
  assert.deepEqual(sent, [
    { text: "0123", part: 1, more: true },
    { text: "4567", part: 2, more: false },
    { text: "89" },
    { text: "0123", part: 1, more: true },
    { text: "4567", part: 2, more: true },
    { text: "89", part: 3, more: false },
  ]);
});

const seeds = Number(process.env["SEEDS"] ?? 300);

void test(`${seeds} seeds: whoever goes on at the pending line sends the parts that the first would have`, () => {
  let resumed = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const random = createSeededRandom(seed);
    const firstLine = random.integer(2) === 0 ? /^\S/ : undefined;
    const maxLineBytes = 1 + random.integer(12);
    const lines = Array.from({ length: 12 }, () => ({
      text: (random.integer(2) === 0 ? " " : "") + "abcdefghijklmnop".slice(random.integer(16)),
      isPartial: random.integer(3) === 0,
    }));
    const whole = given(maxLineBytes, firstLine);
    for (const { text, isPartial } of lines) whole.take(text, isPartial);
    whole.assembly.flush();
    const cutAt = random.integer(lines.length);
    const first = given(maxLineBytes, firstLine);
    for (const { text, isPartial } of lines.slice(0, cutAt)) first.take(text, isPartial);
    const { pending } = first.assembly;
    const next = given(maxLineBytes, firstLine);
    if (pending?.resume !== undefined) {
      next.assembly.resume(pending.resume);
      resumed++;
    }
    const from = pending === undefined ? cutAt : pending.offset / 10;
    for (const { text, isPartial } of lines.slice(from)) next.take(text, isPartial);
    next.assembly.flush();
    assert.deepEqual([...first.sent, ...next.sent], whole.sent, `SEED=${seed}`);
  }
  assert.ok(resumed > seeds / 20, `${resumed} times within an event`);
});

void test("an event of very many empty lines takes little more memory than its bytes", () => {
  const { assembly, sent, take } = given(2_000_000, /^Error/);
  take("Error: a");
  const before = process.memoryUsage();
  for (let i = 0; i < 1_000_000; i++) take("");
  const after = process.memoryUsage();
  const grownBytes = after.arrayBuffers + after.heapUsed - before.arrayBuffers - before.heapUsed;
  assert.ok(grownBytes < 100_000_000, `${grownBytes} bytes`);
  assembly.flush();
  assert.equal(sent[0]?.text.length, 1_000_008);
});
