import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCriLine } from "./parse-cri-line.ts";

const time = "2026-01-02T15:04:05.123456789Z";
const timestampMs = Date.UTC(2026, 0, 2, 15, 4, 5, 123);

const cases: { line: string; want: ReturnType<typeof given> | undefined }[] = [
  { line: `${time} stdout F the text`, want: given("stdout", "the text") },
  { line: `${time} stderr P a piece`, want: given("stderr", "a piece", true) },
  { line: `${time} stdout F:TAG:P tagged`, want: given("stdout", "tagged") },
  { line: `${time} stdout F   spaces  `, want: given("stdout", "  spaces  ") },
  { line: `${time} stdout F `, want: given("stdout", "") },
  { line: `${time} stdout F`, want: given("stdout", "") },
  { line: "2026-01-02T16:04:05.123+01:00 stdout F x", want: given("stdout", "x") },
  { line: `${time} stdin F x`, want: undefined },
  { line: `${time} stdout X x`, want: undefined },
  { line: `${time} stdout Full x`, want: undefined },
  { line: `${time} stdout`, want: undefined },
  { line: `${time}`, want: undefined },
  { line: "2026-13-02T15:04:05Z stdout F x", want: undefined },
  { line: "yesterday stdout F x", want: undefined },
  { line: "", want: undefined },
  { line: '{"log":"x\\n","stream":"stdout","time":"2026-01-02T15:04:05Z"}', want: undefined },
];

function given(stream: "stdout" | "stderr", text: string, isPartial = false) {
  return { stream, timestampMs, text, isPartial };
}

for (const { line, want } of cases) {
  void test(`CRI: ${JSON.stringify(line)} is ${want === undefined ? "of another form" : "read"}`, () => {
    const parsed = parseCriLine(Buffer.from(line));
    const got = parsed === undefined ? undefined : { ...parsed, text: parsed.text.toString() };
    assert.deepEqual(got, want);
  });
}

void test("bytes that are no UTF-8 pass unchanged", () => {
  const text = Buffer.from([0xff, 0x00, 0x20, 0xc3]);
  const parsed = parseCriLine(Buffer.concat([Buffer.from(`${time} stdout F `), text]));
  assert.deepEqual(parsed?.text, text);
});
