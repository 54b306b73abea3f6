import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesText, countText, durationText } from "./figures.ts";

const cases: readonly (readonly [string, string])[] = [
  [bytesText(0), "0 B"],
  [bytesText(1023), "1023 B"],
  [bytesText(1024), "1.0 KiB"],
  [bytesText(1.5 * 1024 ** 3), "1.5 GiB"],
  [bytesText(100 * 1024 ** 2), "100 MiB"],
  [bytesText(2048 * 1024 ** 5), "2048 PiB"],
  [durationText(0), "0.0 s"],
  [durationText(9.94), "9.9 s"],
  [durationText(10), "10 s"],
  [durationText(119.4), "119 s"],
  [durationText(120), "2 m"],
  [durationText(3600), "60 m"],
  [durationText(7200), "2.0 h"],
  [durationText(172_800), "2.0 d"],
  [durationText(864_000), "10.0 d"],
  [countText(0.4), "0"],
  [countText(1_234_567.5), "1,234,568"],
];

for (const [got, want] of cases) {
  test(`a figure is written as ${want}`, () => assert.equal(got, want));
}
