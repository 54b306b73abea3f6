import { createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { JsonLines, lineTooLong } from "./json-lines.ts";

function cut(limit: number, chunks: readonly string[]): string[] {
  const lines = new JsonLines(limit);
  return chunks.flatMap((chunk) =>
    [...lines.push(Buffer.from(chunk))].map((line) => (line === lineTooLong ? "!" : String(line))),
  );
}

const cases = [
  { name: "lines of one chunk", chunks: ["a\nbc\n"], want: ["a", "bc"] },
  { name: "a line over three chunks", chunks: ["a", "b", "c\nd"], want: ["abc"] },
  { name: "empty lines are left out", chunks: ["\n\na\n\n"], want: ["a"] },
  { name: "a line of exactly the limit", chunks: ["12345678\n"], want: ["12345678"] },
  { name: "a longer line is passed over", chunks: ["123456789\nb\n"], want: ["!", "b"] },
  { name: "one that grows too long", chunks: ["12345", "6789", "xxx", "x\nb\n"], want: ["!", "b"] },
];

for (const { name, chunks, want } of cases) {
  void test(`a stream is cut at line feeds: ${name}`, () => assert.deepEqual(cut(8, chunks), want));
}

void test("where chunks end makes no difference, even inside a character", () => {
  const random = createSeededRandom(5);
  const text = Array.from({ length: 50 }, (_, i) => `{"n":${i},"t":"é€😀"}`);
  const bytes = Buffer.from(`${text.join("\n")}\n`);
  for (let round = 0; round < 50; round++) {
    const lines = new JsonLines(100);
    const got: string[] = [];
    for (let at = 0; at < bytes.length;) {
      const end = at + 1 + random.integer(40);
      for (const line of lines.push(bytes.subarray(at, end))) got.push(String(line));
      at = end;
    }
    assert.deepEqual(got, text);
  }
});
