/** docs/runbook.md against the alerts it is for and the commands it names. */
import { programCommand, projectRoot } from "@millrace/testing";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { readRules } from "../prometheus/harness/rules.ts";

const runbook = readFileSync(join(projectRoot, "docs/runbook.md"), "utf8");
const sections = new Map(
  runbook
    .split(/^## /m)
    .slice(1)
    .map((text) => [/.*/.exec(text)?.[0] ?? "", text] as const),
);

void test("every alert has its section, every section of an alert its alert, in one order", () => {
  const alerts = readRules().map(({ alert }) => alert);
  assert.equal(new Set(alerts).size, alerts.length);
  assert.deepEqual(
    [...sections.keys()].filter((title) => title.startsWith("Millrace")),
    alerts,
  );
});

void test("every alert says how bad it is, what it means, and where its section is", () => {
  for (const { alert, labels, annotations } of readRules()) {
    assert.match(labels.severity, /^(page|ticket)$/, alert);
    assert.ok(annotations.summary.includes("{{"), `${alert} does not say which agent`);
    assert.ok(annotations.description.length > 40, alert);
    assert.equal(annotations.runbook_url, `docs/runbook.md#${alert.toLowerCase()}`);
  }
});

for (const { alert } of readRules()) {
  void test(`the section of ${alert} says what is seen, done first, safe, and never done`, () => {
    const text = sections.get(alert) ?? "";
    assert.match(text, /\*\*You see\*\*/);
    assert.match(text, /\*\*First command\*\*\n```sh\n\S/);
    assert.match(text, /\*\*Safe\*\*:/);
    assert.match(text, /\*\*Never\*\*/);
  });
}

void test("every reason for which events are lost is explained", () => {
  const sources = readdirSync(join(projectRoot, "packages"), { recursive: true, encoding: "utf8" })
    .filter((path) => /^[^/]+\/src\/.*(?<!\.test)\.ts$/.test(path))
    .map((path) => readFileSync(join(projectRoot, "packages", path), "utf8"));
  const declared = sources.flatMap((text) => [
    ...text.matchAll(/declareDiscard\([^,]+,\s*"(\w+)",\s*false\)/g),
  ]);
  assert.ok(declared.length >= 10);
  for (const [, reason = ""] of declared) {
    assert.ok(sections.get("MillraceEventsLost")?.includes(`\`${reason}\``), reason);
  }
});

void test("nobody is told to delete what holds events", () => {
  const commands = [...runbook.matchAll(/^```sh\n(.*?)^```/gms)].map(([, lines = ""]) => lines);
  assert.ok(commands.length > 16);
  assert.doesNotMatch(commands.join("\n"), /\brm\b|kubectl .*delete|--force|scale .*--replicas/);
});

void test("every command of the runbook is one that millrace has", () => {
  const named = [
    ...runbook.matchAll(/(?:\bmillrace|\bin_pod <pod>) ([a-z][a-z-]*)(?: ([a-z-]+))?/g),
  ];
  const help = printed("help");
  const seen = new Set<string>();
  for (const [, command = "", sub] of named) {
    if (!/\b(-|<|\.)|^(runs|does|has|itself)$/.test(command)) seen.add(command);
    if (command === "file-channel" && sub !== undefined) seen.add(`file-channel ${sub}`);
  }
  for (const command of seen) {
    const [name = "", sub] = command.split(" ");
    if (sub === undefined) assert.match(help, new RegExp(`^  ${name}(\\s|\\|)`, "m"), command);
    else assert.match(printed(name, sub, "--help"), new RegExp(`usage: millrace ${name} ${sub}`));
  }
  for (const command of ["status", "top", "check", "file-channel verify", "file-channel stats"]) {
    assert.ok(seen.has(command), `the runbook names no ${command}`);
  }
});

function printed(...words: readonly string[]): string {
  const [program = "", ...args] = programCommand("cli/main");
  const { stdout } = spawnSync(program, [...args, ...words], { encoding: "utf8", timeout: 60_000 });
  return stdout;
}
