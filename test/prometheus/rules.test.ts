/** What each alert says of series that are written down: when it fires, and when it nearly does. */
import { projectRoot, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { findGoProgram } from "../harness/go-program.ts";
import { promtoolProgram } from "../harness/go-programs.ts";
import { channelCases } from "./harness/channel-cases.ts";
import { judgeCases } from "./harness/rule-case.ts";
import { readRules, rulesFile } from "./harness/rules.ts";
import { surroundingsCases } from "./harness/surroundings-cases.ts";
import { ticketCases } from "./harness/ticket-cases.ts";

const casesOf = { ...channelCases, ...surroundingsCases, ...ticketCases };

void test("promtool finds nothing wrong with the rules", (t) => {
  const promtool = findGoProgram(t, promtoolProgram);
  if (promtool === undefined) return;
  const words = ["check", "rules", "--lint=all", "--lint-fatal", rulesFile];
  const { status, stdout, stderr } = spawnSync(promtool, words, {
    cwd: projectRoot,
    encoding: "utf8",
  });
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, /16 rules found/);
});

void test("every alert has cases in which it fires and cases in which it is silent", () => {
  const alerts = readRules().map(({ alert }) => alert);
  assert.deepEqual(Object.keys(casesOf).sort(), [...alerts].sort());
  for (const [alert, cases] of Object.entries(casesOf)) {
    const counts = cases.map(({ firing }) => Math.max(...Object.values(firing)));
    assert.ok(counts.some((count) => count > 0), `${alert} never fires`); // prettier-ignore
    assert.ok(counts.some((count) => count === 0), `${alert} is never silent throughout`); // prettier-ignore
  }
});

for (const [alert, cases] of Object.entries(casesOf)) {
  void test(`${alert} in ${cases.length} cases`, async (t) => {
    const promtool = findGoProgram(t, promtoolProgram);
    if (promtool === undefined) return;
    const wrong = await judgeCases(promtool, rulesFile, alert, cases, await tempDirectory(t));
    assert.equal(wrong, "");
  });
}

void test("a case that is wrong is found to be wrong", async (t) => {
  const promtool = findGoProgram(t, promtoolProgram);
  if (promtool === undefined) return;
  const [first] = channelCases["MillraceTooOld"] ?? [];
  assert.ok(first !== undefined);
  const turned = { ...first, firing: { 27: 0 } };
  const folder = await tempDirectory(t);
  const wrong = await judgeCases(promtool, rulesFile, "MillraceTooOld", [turned], folder);
  assert.match(wrong, /FAILED/);
});
