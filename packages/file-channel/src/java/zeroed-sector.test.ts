import assert from "node:assert/strict";
import { test } from "node:test";
import { bodies, commit, createJavaWorld, put } from "./java-world.test.ts";

const sectorBytes = 512;

test("a sector of zeros in a data file costs the events in it, and none behind it or committed in it", async (t) => {
  const world = await createJavaWorld(t);
  const log = world.log(1);
  const places: { text: string; from: number; to: number }[] = [];
  for (let id = 1; id <= 60; id++) {
    const text = `event ${id} ${"x".repeat((id * 37) % 150)}`;
    const from = log.add(put({ transaction: id, order: 1000 + id * 2 }, text));
    places.push({ text, from, to: log.length });
    log.add(commit({ transaction: id, order: 1001 + id * 2 }, "put"));
  }
  const whole = Buffer.concat(log.parts);
  let damaged = 0;
  for (let at = sectorBytes; at + 2 * sectorBytes < whole.length; at += sectorBytes) {
    const bytes = Buffer.from(whole);
    bytes.fill(0, at, at + sectorBytes);
    log.parts = [bytes];
    const channel = await world.open();
    const hit = places.filter(({ from, to }) => from < at + sectorBytes && to > at);
    const want = places.filter((place) => !hit.includes(place)).map(({ text }) => text);
    assert.deepEqual(await bodies(channel), want, `zeros at ${at}`);
    assert.ok(channel.damages.length > 0, `zeros at ${at}`);
    damaged += hit.length;
  }
  assert.ok(damaged > 30, `${damaged}`);
});
