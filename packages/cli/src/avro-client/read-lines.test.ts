import { createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import test from "node:test";
import { readLines } from "./read-lines.ts";

async function* chunksOf(...texts: string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text);
}

async function read(texts: string[], linesMax = 100, lineBytesMax = 1000) {
  const lines: string[][] = [];
  let bytesRead = 0;
  for await (const read of readLines(chunksOf(...texts), "x", linesMax, lineBytesMax)) {
    lines.push(read.lines.map((line) => line.toString()));
    bytesRead = read.bytesRead;
  }
  return { lines, bytesRead };
}

for (const { name, texts, want } of [
  { name: "nothing", texts: [], want: [] },
  { name: "an empty text", texts: [""], want: [] },
  { name: "a line with and one without an end", texts: ["a\nb"], want: ["a", "b"] },
  { name: "empty lines", texts: ["\n\na\n\n"], want: ["", "", "a", ""] },
  { name: "CR, LF and CR LF", texts: ["a\rb\nc\r\nd\r\r\ne"], want: ["a", "b", "c", "d", "", "e"] },
  { name: "CR LF over two chunks", texts: ["a\r", "\nb\r", "c\n"], want: ["a", "b", "c"] },
  { name: "a line over many chunks", texts: ["a", "b", "", "c\nd"], want: ["abc", "d"] },
]) {
  test(`${name} is read as java.io.BufferedReader reads it`, async () => {
    const { lines, bytesRead } = await read(texts);
    assert.deepEqual(lines.flat(), want);
    assert.equal(bytesRead, texts.join("").length);
  });
}

test("any text is cut alike however it comes in chunks", async () => {
  const random = createSeededRandom(4);
  for (let round = 0; round < 300; round++) {
    const letters = ["a", "b", "\n", "\r", "\r\n", "ü"];
    const text = Array.from({ length: random.integer(40) }, () => letters[random.integer(6)]).join(""); // prettier-ignore
    const want = text.split(/\r\n|\r|\n/);
    if (want.at(-1) === "") want.pop();
    const texts: string[] = [];
    for (let at = 0; at < text.length;) {
      const length = 1 + random.integer(5);
      texts.push(text.slice(at, at + length));
      at += length;
    }
    const { lines, bytesRead } = await read(texts, 3);
    assert.deepEqual(lines.flat(), want, JSON.stringify(texts));
    assert.ok(lines.every((some) => some.length <= 3 && some.length > 0));
    // The LF of a CR LF that came later ends nothing any more.
    const missing = Buffer.byteLength(text) - bytesRead;
    assert.ok(missing === 0 || (missing === 1 && text.endsWith("\r\n")), JSON.stringify(texts));
  }
});

test("at most linesMax lines come at once, and what has come is not kept waiting", async () => {
  const { lines } = await read(["1\n2\n3\n4\n5\n6", "\n7\n"], 5);
  assert.deepEqual(lines, [["1", "2", "3", "4", "5"], ["6", "7"]]); // prettier-ignore
});

test("a line that is too long is EVENT_REJECTED with its number, after the lines before it", async () => {
  for (const texts of [["a\nb\n", "x".repeat(11), "\n"], ["a\nb\n" + "x".repeat(11) + "\nc"]]) {
    const seen: string[] = [];
    await assert.rejects(
      async () => {
        for await (const { lines } of readLines(chunksOf(...texts), "big.log", 100, 10)) {
          seen.push(...lines.map(String));
        }
      },
      { code: "EVENT_REJECTED", message: /^big\.log, line 3: over 10 bytes.*maxFrameBytes/ },
    );
    assert.deepEqual(seen, ["a", "b"]);
  }
});
