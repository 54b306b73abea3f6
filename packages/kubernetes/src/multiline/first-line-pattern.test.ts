import assert from "node:assert/strict";
import { test } from "node:test";
import { compileForeignPattern } from "./first-line-pattern.ts";

const taken = [
  "^\\S",
  "^\\d{4}-\\d\\d-\\d\\d",
  "^\\d{1,4}/\\d{1,2}/\\d{1,2} \\d{1,2}:\\d{2}",
  "^(ERROR|WARN) ",
  "^\\[[^\\]]+\\]",
  "^(?:a|b)c",
  "\\(\\)*",
  "ERROR|WARN|INFO|DEBUG|TRACE",
  "^\\S+ \\S+ (ERROR|WARN|INFO)",
  "^(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\\d{1,2} ",
  "^\\p{Lu}\\u{61}+?[?*+(|]\\\\\\?",
];
const ways = /too many ways/;
const refused: [string, RegExp][] = [
  ["(a+)+$", /may not be repeated/],
  ["(a|a){5,}", /may not be repeated/],
  ["^(?=x)", /plain/],
  ["^(?<n>x)", /plain/],
  ["(a)\\1", /refers back/],
  ["[a", /regular expression/i],
  ["x".repeat(201), /longer than/],
  ["a*b*c*d*", ways],
  ["^a*a*a*b", ways],
  ["a*a*b", ways],
  ["a*?a+?b", ways],
  ["^a{0,}a{1,200}a{1,}b", ways],
  [`^${"a?".repeat(60)}b`, ways],
  [`^${"a??".repeat(60)}b`, ways],
  [`^${"a{0,1}".repeat(30)}b`, ways],
  [`^${"(a|\\w)".repeat(28)}b`, ways],
  [`^${"(?:a|(?:a|\\w))".repeat(14)}b`, ways],
  ["\\\\p?".repeat(40), ways],
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
