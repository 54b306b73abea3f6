import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDockerLine } from "./parse-docker-line.ts";

const time = "2026-01-02T15:04:05.123456789Z";
const timestampMs = Date.UTC(2026, 0, 2, 15, 4, 5, 123);

function given(stream: "stdout" | "stderr", text: string, isPartial = false) {
  return { stream, timestampMs, text, isPartial };
}

const cases: { line: unknown; want: ReturnType<typeof given> | undefined }[] = [
  { line: { log: "the text\n", stream: "stdout", time }, want: given("stdout", "the text") },
  { line: { log: "a piece", stream: "stderr", time }, want: given("stderr", "a piece", true) },
  { line: { log: "\n", stream: "stdout", time }, want: given("stdout", "") },
  { line: { log: "tty\r\n", stream: "stdout", time }, want: given("stdout", "tty") },
  { line: { log: "ä\u0000\n", stream: "stdout", time, attrs: {} }, want: given("stdout", "ä\0") },
  { line: { log: "x\n", stream: "stdin", time }, want: undefined },
  { line: { log: 1, stream: "stdout", time }, want: undefined },
  { line: { log: "x\n", stream: "stdout" }, want: undefined },
  { line: { log: "x\n", stream: "stdout", time: "today" }, want: undefined },
  { line: null, want: undefined },
  { line: ["x"], want: undefined },
];

for (const { line, want } of cases) {
  const text = JSON.stringify(line);
  void test(`Docker: ${text} is ${want === undefined ? "of another form" : "read"}`, () => {
    const parsed = parseDockerLine(Buffer.from(text));
    const got = parsed === undefined ? undefined : { ...parsed, text: parsed.text.toString() };
    assert.deepEqual(got, want);
  });
}

void test("what is no JSON is of another form", () => {
  assert.equal(parseDockerLine(Buffer.from('{"log":"x\\n","stream":"std')), undefined);
});
