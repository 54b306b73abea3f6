import assert from "node:assert/strict";
import { test } from "node:test";
import { compileJavaPattern } from "./java-pattern.ts";

const cases = [
  { pattern: "app.*[.]log", matches: ["app.log", "app-1.log"], not: ["app.log.1", "xapp.log"] },
  { pattern: "a|b", matches: ["a", "b"], not: ["ab"] },
  { pattern: "web\\-1\\.log", matches: ["web-1.log"], not: ["web-1xlog"] },
  { pattern: "(?i)B\\.txt", matches: ["b.TXT", "B.txt"], not: ["c.txt"] },
  { pattern: "\\\\Q", matches: ["\\Q"], not: ["Q"] },
];
for (const { pattern, matches, not } of cases) {
  test(`${pattern} matches what it matches in Java`, () => {
    const compiled = compileJavaPattern(pattern);
    for (const name of matches) assert.ok(compiled.test(name), name);
    for (const name of not) assert.ok(!compiled.test(name), name);
  });
}

for (const pattern of ["\\Qa.b\\E", "a\\Z", "a*+", "(", "[\\h]"]) {
  test(`${pattern} is refused, not read as something else`, () => {
    assert.throws(() => compileJavaPattern(pattern), SyntaxError);
  });
}
