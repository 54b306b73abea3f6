import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { didYouMean, nearestName, slips } from "./nearest-name.ts";

const names = ["batchSize", "bind", "port", "file_roll", "spooldir", "load_balance", "c1"];
const cases: { given: string; want: string | undefined }[] = [
  { given: "batchSiz", want: "batchSize" },
  { given: "batchsize", want: "batchSize" },
  { given: "batch-size", want: "batchSize" },
  { given: "bacthSize", want: "batchSize" },
  { given: "FileRoll", want: "file_roll" },
  { given: "spool-dir", want: "spooldir" },
  { given: "loadbalance", want: "load_balance" },
  { given: "c2", want: "c1" },
  { given: "prot", want: "port" },
  { given: "hdfs", want: undefined },
  { given: "", want: undefined },
];
for (const { given, want } of cases) {
  void test(`the name nearest to "${given}" is ${want ?? "none"}`, () =>
    assert.equal(nearestName(given, names), want));
}

void test("a suggestion is a question, or nothing", () => {
  assert.equal(didYouMean("prot", names), "; did you mean port?");
  assert.equal(didYouMean("keytab", names), "");
});

void test("distance is a metric on what edits it counts", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 7 });
  fc.assert(
    fc.property(word, word, fc.nat(6), (a, b, at) => {
      assert.equal(slips(a, b), slips(b, a));
      assert.equal(slips(a, b) === 0, a === b);
      const cut = a.slice(0, at) + a.slice(at + 1);
      assert.equal(slips(a, cut), a.length - cut.length);
    }),
    { numRuns: 300 },
  );
});
