import { createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { parseCriLine } from "../cri/parse-cri-line.ts";
import { parseDockerLine } from "../docker-json/parse-docker-line.ts";
import { recogniseFormat } from "./log-format.ts";

const rounds = Number(process.env["ROUNDS"] ?? 20_000);
const time = "2026-01-02T15:04:05.123456789Z";
const good = [
  Buffer.from(`${time} stdout F the text of a line`),
  Buffer.from(`${time} stderr P:x a piece`),
  Buffer.from(JSON.stringify({ log: "the text\n", stream: "stdout", time })),
  Buffer.from(JSON.stringify({ log: "a \\ piece \u2028", stream: "stderr", time })),
];

void test(`${rounds} damaged and random lines are read or refused, and what is read is in bounds`, () => {
  const random = createSeededRandom(Number(process.env["SEED"] ?? 1));
  let read = 0;
  let refused = 0;
  for (let round = 0; round < rounds; round++) {
    const line =
      random.integer(4) === 0
        ? random.bytes(random.integer(80))
        : Buffer.from(good[random.integer(good.length)] as Buffer);
    for (let i = random.integer(4); i > 0 && line.length > 0; i--) {
      line[random.integer(line.length)] = random.integer(256);
    }
    const cut = line.subarray(0, line.length - random.integer(3) * random.integer(line.length));
    for (const parse of [parseCriLine, parseDockerLine]) {
      const parsed = parse(cut);
      if (parsed === undefined) {
        refused++;
        continue;
      }
      read++;
      assert.ok(parsed.stream === "stdout" || parsed.stream === "stderr");
      assert.ok(Number.isSafeInteger(parsed.timestampMs), `${parsed.timestampMs}`);
      assert.ok(parsed.text.length <= cut.length * 3);
      assert.ok(recogniseFormat(cut) !== undefined);
    }
  }
  assert.ok(read > rounds / 20 && refused > rounds / 2, `${read} read, ${refused} refused`);
});
