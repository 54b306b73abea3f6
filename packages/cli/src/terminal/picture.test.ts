import assert from "node:assert/strict";
import { test } from "node:test";
import { createPicture } from "./picture.ts";

function terminal(columns: number) {
  const written: string[] = [];
  const output = { isTTY: true, columns, write: (text: string) => written.push(text) };
  return { output, written };
}

test("lines are drawn where the last ones stood, cut to the width", () => {
  const { output, written } = terminal(5);
  const picture = createPicture(output);
  picture.draw(["1234567", "b"]);
  picture.draw(["c"]);
  picture.erase();
  picture.erase();
  assert.deepEqual(written, ["12345\nb\n", "\u001B[2A\r\u001B[J", "c\n", "\u001B[1A\r\u001B[J"]);
});

test("a terminal that has become narrower has broken lines: all their rows are erased", () => {
  const { output, written } = terminal(10);
  const picture = createPicture(output);
  picture.draw(["1234567890", "", "abc"]);
  output.columns = 4;
  picture.erase();
  assert.equal(written.at(-1), "\u001B[5A\r\u001B[J");
});

test("a terminal without a width gets whole lines", () => {
  const { output, written } = terminal(0);
  createPicture(output).draw(["a line of some length"]);
  assert.deepEqual(written, ["a line of some length\n"]);
});
