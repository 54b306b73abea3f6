import assert from "node:assert/strict";
import { test } from "node:test";
import { LineReader, type LineTaker, type ReadableFile } from "./line-reader.ts";

/** A file in memory whose lines are noted as `<offset>:<text>`, a cut part with `+` behind. */
function given(text: string, wanted = Infinity) {
  let bytes = Buffer.from(text);
  const noted: string[] = [];
  const file: ReadableFile & { head: Buffer } = {
    head: Buffer.alloc(0),
    generation: 0,
    beginsAs(head) {
      return head.subarray(0, this.head.length).equals(this.head);
    },
  };
  const handle = {
    async read(into: Buffer, offset: number, length: number, position: number): Promise<number> {
      // Short reads, as disks give them.
      return bytes.copy(into, offset, position, position + Math.min(length, 7));
    },
  };
  const taker: LineTaker = {
    get isFull() {
      return noted.length >= wanted;
    },
    take(line, at, isCut) {
      noted.push(`${at}:${line.toString()}${isCut ? "+" : ""}`);
    },
  };
  return {
    noted,
    read: (reader: LineReader, from: number, isFinal = false) =>
      reader.read(file, handle, { from, upTo: bytes.length, isFinal }, taker),
    become(other: string) {
      bytes = Buffer.from(other);
    },
  };
}

void test("lines are given with their offsets, and a line without end stays", async () => {
  const { noted, read } = given("one\ntwo\r\n\nrest");
  assert.equal(await read(new LineReader(100), 0), 10);
  assert.deepEqual(noted, ["0:one", "4:two", "9:"]);
});

void test("what is left at the end is a line when it is final", async () => {
  const { noted, read } = given("one\nrest");
  assert.equal(await read(new LineReader(100), 4, true), 8);
  assert.deepEqual(noted, ["4:rest"]);
});

void test("a full taker stops the reading at the line's end", async () => {
  const { noted, read } = given("one\ntwo\nthree\n", 2);
  assert.equal(await read(new LineReader(100), 0), 8);
  assert.equal(noted.length, 2);
});

void test("a long line is given in parts", async () => {
  const { noted, read } = given("0123456789\nx\n");
  assert.equal(await read(new LineReader(4), 0), 13);
  assert.deepEqual(noted, ["0:0123+", "4:4567+", "8:89", "11:x"]);
});

void test("a file that begins otherwise than before is not read on", async () => {
  const { noted, read, become } = given("one\ntwo\n");
  assert.equal(await read(new LineReader(100), 0), 8);
  become("another\nand more\n");
  assert.equal(await read(new LineReader(100), 8), "replaced");
  assert.deepEqual(noted, ["0:one", "4:two"]);
});

void test("a carriage return before the line feed is the line's own where lines end with LF only", async () => {
  const { noted, read } = given("one\r\ntwo\n");
  await read(new LineReader(100, "LF"), 0);
  assert.deepEqual(noted, ["0:one\r", "5:two"]);
});
