import assert from "node:assert/strict";
import { test } from "node:test";
import { compareLogNames, formatLogName, type LogName, parseLogName } from "./log-name.ts";

void test("kubelet's names are told from others, and keep the order in which they were written", () => {
  const ordered = [
    "0.log.20260102-150405.gz",
    "0.log.20260102-150406",
    "0.log",
    "1.log.20250102-150406",
    "1.log",
    "10.log",
  ];
  const names = ordered.map((name) => parseLogName(name) as LogName);
  assert.deepEqual(names.map(formatLogName), ordered);
  assert.deepEqual([...names].reverse().sort(compareLogNames), names);
  for (const other of ["0.log.20260102-150405.tmp", "a.log", "0.log.gz", "0.log.1", "0.logs", ""]) {
    assert.equal(parseLogName(other), undefined, other);
  }
});
