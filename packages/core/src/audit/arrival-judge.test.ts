import assert from "node:assert/strict";
import { test } from "node:test";
import { type ArrivalJudge, createArrivalJudge } from "./arrival-judge.ts";
import { encodeNumberedLine, parseHeadedLine, parseNumberedLine } from "./arrival-lines.ts";

/** Lines 0 to count - 1 of the stream, all of 40-odd bytes; answers where each ends. */
function issue(judge: ArrivalJudge, stream: string, count: number): number[] {
  const ends: number[] = [];
  let end = 0;
  for (let index = 0; index < count; index++) {
    const line = numbered(stream, index);
    end += line.length + 1;
    judge.issue(stream, line, end);
    ends.push(end);
  }
  return ends;
}

const numbered = (stream: string, index: number): Buffer =>
  encodeNumberedLine(stream, index, `what happened at ${index}`);

function arrive(judge: ArrivalJudge, output: string, stream: string, ...indexes: number[]): void {
  for (const index of indexes) {
    judge.arrive(output, parseNumberedLine(numbered(stream, index)), `${output}:${index}`);
  }
}

void test("every line that was issued and arrived once is judged clean", () => {
  const judge = createArrivalJudge();
  const ends = issue(judge, "a", 3);
  issue(judge, "b", 1);
  judge.acknowledge("a", ends[2] as number);
  arrive(judge, "c1", "a", 0, 1, 2);
  arrive(judge, "c2", "b", 0);
  const { complaints, setAside, missingLines, ...numbers } = judge.verdict();
  assert.deepEqual(numbers, {
    issued: 4,
    acknowledged: 3,
    arrived: 4,
    distinct: 4,
    duplicates: 0,
    missing: 0,
    missingAcknowledged: 0,
    unknown: 0,
    changed: 0,
    outOfOrder: 0,
  });
  assert.deepEqual([complaints, missingLines, setAside.size], [[], [], 0]);
});

void test("a missing line is named with its file, line number, offset, and whether it was promised", () => {
  const judge = createArrivalJudge();
  const ends = issue(judge, "access.log", 4);
  judge.acknowledge("access.log", ends[1] as number);
  arrive(judge, "c1", "access.log", 0, 2);
  const verdict = judge.verdict();
  assert.equal(verdict.missing, 2);
  assert.equal(verdict.missingAcknowledged, 1);
  assert.deepEqual(verdict.missingLines, [
    { stream: "access.log", lineNumber: 2, startOffset: ends[0], acknowledged: true },
    { stream: "access.log", lineNumber: 4, startOffset: ends[2], acknowledged: false },
  ]);
});

void test("an acknowledgement inside a line does not cover it, and none goes back", () => {
  const judge = createArrivalJudge();
  const ends = issue(judge, "a", 3);
  judge.acknowledge("a", (ends[1] as number) + 5);
  assert.equal(judge.totals().acknowledged, 2);
  judge.acknowledge("a", (ends[0] as number) - 1);
  assert.equal(judge.totals().acknowledged, 2);
  judge.acknowledge("nobody", 9);
  judge.acknowledge("a", 1e9);
  assert.equal(judge.totals().acknowledged, 3);
});

void test("duplicates are counted in one output and across outputs", () => {
  const judge = createArrivalJudge();
  issue(judge, "a", 3);
  arrive(judge, "c1", "a", 0, 1, 0, 1);
  arrive(judge, "c2", "a", 1, 2);
  const { arrived, distinct, duplicates, missing } = judge.verdict();
  assert.deepEqual([arrived, distinct, duplicates, missing], [6, 3, 3, 0]);
});

void test("a line that was never written is unknown", () => {
  const judge = createArrivalJudge();
  issue(judge, "a", 2);
  arrive(judge, "c1", "a", 0, 1, 7);
  arrive(judge, "c1", "b", 0);
  judge.arrive("c1", undefined, "out/1-1:5");
  const { unknown, arrived, distinct, complaints } = judge.verdict();
  assert.deepEqual([unknown, arrived, distinct], [3, 5, 2]);
  assert.deepEqual(complaints, [
    "c1:7: never written: a line 7",
    "c1:0: never written: b line 0",
    "out/1-1:5: does not say which line it is, or was changed",
  ]);
});

void test("a line whose bytes changed does not count as arrived", () => {
  const judge = createArrivalJudge();
  judge.issue("a", Buffer.from("hello"), 6);
  judge.arrive("c1", { stream: "a", index: 0, body: Buffer.from("hellO") }, "out/1-1:1");
  const { changed, missing, complaints } = judge.verdict();
  assert.deepEqual([changed, missing], [1, 1]);
  assert.deepEqual(complaints, ["out/1-1:1: not the bytes of a line 1"]);
});

void test("a numbered line shows by itself that a byte of it was changed", () => {
  const line = numbered("a", 12);
  assert.deepEqual(parseNumberedLine(line), { stream: "a", index: 12, body: line });
  for (let at = 0; at < line.length; at++) {
    const damaged = Buffer.from(line);
    damaged[at] = (damaged[at] as number) ^ 1;
    const parsed = parseNumberedLine(damaged);
    assert.equal(parsed, undefined, damaged.toString());
  }
});

void test("a line that comes first behind a later one of its stream is out of order", () => {
  const judge = createArrivalJudge();
  issue(judge, "a", 4);
  issue(judge, "b", 1);
  arrive(judge, "c1", "a", 0, 2);
  arrive(judge, "c1", "b", 0);
  arrive(judge, "c1", "a", 1, 3);
  const { outOfOrder, complaints } = judge.verdict();
  assert.equal(outOfOrder, 1);
  assert.deepEqual(complaints, ["c1:1: a line 2 came first behind a later line"]);
});

void test("a repeated run of lines keeps the order, in the same output and in another", () => {
  const judge = createArrivalJudge();
  issue(judge, "a", 6);
  arrive(judge, "c1", "a", 0, 1, 2, 1, 2, 3);
  arrive(judge, "c2", "a", 4, 2, 3, 4, 5);
  const { outOfOrder, duplicates } = judge.verdict();
  assert.equal(outOfOrder, 0, "2 and 3 are late in c2, but came first in c1");
  assert.equal(duplicates, 5);
});

void test("lines before a mark are asked for without those behind it", () => {
  const judge = createArrivalJudge();
  const ends = issue(judge, "a", 5);
  judge.acknowledge("a", ends[2] as number);
  const issued = judge.marks("issued");
  const acknowledged = judge.marks("acknowledged");
  arrive(judge, "c1", "a", 0, 2);
  assert.deepEqual(judge.outstanding(acknowledged), { unacknowledged: 0, missing: 1 });
  assert.deepEqual(judge.outstanding(issued), { unacknowledged: 2, missing: 3 });
  assert.equal(judge.verdict(acknowledged).missing, 1);
  assert.equal(judge.verdict().missing, 3);
  judge.acknowledge("a", ends[4] as number);
  arrive(judge, "c1", "a", 1);
  assert.deepEqual(judge.outstanding(acknowledged), { unacknowledged: 0, missing: 0 });
  assert.deepEqual(judge.outstanding(issued), { unacknowledged: 0, missing: 2 });
});

void test("a stream set aside is not judged, before nor after", () => {
  const judge = createArrivalJudge();
  issue(judge, "a", 2);
  issue(judge, "b", 2);
  arrive(judge, "c1", "a", 0, 0);
  judge.setAside("a", "replaced");
  arrive(judge, "c1", "a", 1);
  issue(judge, "a", 1);
  arrive(judge, "c1", "b", 0, 1);
  const { issued, arrived, duplicates, missing, setAside } = judge.verdict();
  assert.deepEqual([issued, arrived, duplicates, missing], [2, 2, 0, 0]);
  assert.deepEqual([...setAside], [["a", "replaced"]]);
});

void test("a line with taildir's headers is found by the file and the offset it began at", () => {
  const judge = createArrivalJudge();
  const file = "/var/log/é }, byteoffset=3/syslog";
  judge.issue(file, Buffer.from("first"), 6);
  judge.issue(file, Buffer.from("{file=x, byteoffset=0} second"), 40);
  const lines = [
    `{file=${file}, byteoffset=0} first`,
    `{byteoffset=6, file=${file}} {file=x, byteoffset=0} second`,
  ];
  for (const line of lines) judge.arrive("c1", parseHeadedLine(Buffer.from(line)), "1");
  const { distinct, missing, complaints } = judge.verdict();
  assert.deepEqual([distinct, missing, complaints], [2, 0, []]);
});

for (const line of [
  "",
  "plain text",
  "{file=a} x",
  "{byteoffset=1} x",
  "{file=a, byteoffset=x} y",
]) {
  void test(`"${line}" does not say which line it is`, () => {
    assert.equal(parseHeadedLine(Buffer.from(line)), undefined);
    assert.equal(parseNumberedLine(Buffer.from(line)), undefined);
  });
}

void test("a million lines are judged in a few dozen megabytes", () => {
  const judge = createArrivalJudge();
  const body = Buffer.from("a line of some length, the same every time");
  const before = process.memoryUsage().arrayBuffers;
  const count = 1_000_000;
  for (let index = 0; index < count; index++) judge.issue("a", body, (index + 1) * 50);
  judge.acknowledge("a", count * 50);
  for (let index = 0; index < count; index++) {
    if (index !== 777_777) judge.arrive("c1", { stream: "a", startOffset: index * 50, body }, "");
  }
  const held = process.memoryUsage().arrayBuffers - before;
  const { missing, missingLines, distinct } = judge.verdict();
  assert.deepEqual([missing, missingLines[0]?.lineNumber, distinct], [1, 777_778, 999_999]);
  assert.ok(held < 64 * 1024 * 1024, `${held} bytes held`);
});
