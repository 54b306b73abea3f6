import assert from "node:assert/strict";
import { test } from "node:test";
import { compileForeignPattern } from "./first-line-pattern.ts";

const taken = [
  "^\\S",
  "^\\d{4}-\\d\\d-\\d\\d",
  "^(ERROR|WARN) ",
  "^\\[[^\\]]+\\]",
  "^(?:a|b)c",
  "\\(\\)*",
];
const refused: [string, RegExp][] = [
  ["(a+)+$", /may not be repeated/],
  ["(a|a){5,}", /may not be repeated/],
  ["^(?=x)", /plain/],
  ["(a)\\1", /refers back/],
  ["a*b*c*d*", /more than 3/],
  ["[a", /regular expression/i],
  ["x".repeat(201), /longer than/],
];

for (const pattern of taken) {
  void test(`a pod may ask for ${pattern}`, () => {
    assert.ok(compileForeignPattern(pattern) instanceof RegExp);
  });
}
for (const [pattern, why] of refused) {
  void test(`a pod may not ask for ${pattern.slice(0, 20)}`, () => {
    assert.throws(() => compileForeignPattern(pattern), why);
  });
}
