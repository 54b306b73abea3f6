import assert from "node:assert/strict";
import { nodeFileSystem } from "@millrace/core";
import { tempDirectory } from "@millrace/testing";
import { appendFile, readFile, rm, truncate, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { copySamples } from "./inputs.ts";
import { createLayout, type Layout, prepareLayout, sampleLogs } from "./layout.ts";
import type { AgentFacts } from "./locate-missing.ts";
import { renderReport, type RunReport, runSucceeded } from "./report.ts";
import { createRunAudit } from "./run-audit.ts";

const edge: AgentFacts = {
  name: "edge",
  running: true,
  killed: false,
  accepted: 1051,
  delivered: 1051,
  held: 0,
};
const collectors: readonly AgentFacts[] = [
  { ...edge, name: "collector-1" },
  { ...edge, name: "collector-2", accepted: 0, delivered: 0 },
];

interface FinishedRun {
  readonly layout: Layout;
  readonly inputs: readonly string[];
  readonly outputFile: string;
  readonly report: (facts?: Partial<RunReport>) => Promise<RunReport>;
}

/** What a run over the sample logs leaves behind: all of them in collector-1's output. */
async function finishedRun(t: TestContext): Promise<FinishedRun> {
  const directory = await tempDirectory(t);
  const layout = createLayout(directory);
  await prepareLayout(layout);
  const { files } = await copySamples(nodeFileSystem, sampleLogs, layout);
  const inputs = files.filter((path) => path !== layout.writerLog);
  const outputFile = join(layout.out("collector-1"), "1700000000000-1");
  const positions: { inode: number; pos: number; file: string }[] = [];
  for (const file of inputs) {
    const text = await readFile(file);
    positions.push({ inode: 1, pos: text.length, file });
    let offset = 0;
    const lines: string[] = [];
    for (const line of text.toString().split("\n").slice(0, -1)) {
      lines.push(`{byteoffset=${offset}, file=${file}} ${line}\n`);
      offset += Buffer.byteLength(line) + 1;
    }
    await appendFile(outputFile, lines.join(""));
  }
  await writeFile(layout.positionFile, JSON.stringify(positions));
  return {
    layout,
    inputs,
    outputFile,
    async report(facts = {}) {
      const audit = createRunAudit(nodeFileSystem, inputs, layout);
      await audit.update();
      return {
        verdict: audit.judge.verdict(),
        unfinishedLines: audit.unfinishedLines,
        tornLines: audit.tornLines,
        killed: 0,
        drainedMs: 400,
        edge,
        collectors,
        directory,
        ...facts,
      };
    },
  };
}

async function editOutput(run: FinishedRun, edit: (lines: string[]) => string[]): Promise<void> {
  const lines = (await readFile(run.outputFile, "utf8")).split("\n");
  await writeFile(run.outputFile, edit(lines).join("\n"));
}

void test("a run in which every line arrived succeeds, duplicates or not", async (t) => {
  const run = await finishedRun(t);
  await editOutput(run, (lines) => [...lines.slice(0, 10), ...lines]);
  const report = await run.report();
  assert.equal(runSucceeded(report), true);
  assert.deepEqual(renderReport(report), [
    "  drained in 0.4 s. 1,051 lines read, 1,051 distinct lines in the output, 0 missing, 10 duplicates.",
  ]);
});

void test("a line that was taken out of the output is named with file, line and hop", async (t) => {
  const run = await finishedRun(t);
  await editOutput(run, (lines) => lines.toSpliced(16, 1));
  const report = await run.report();
  assert.equal(runSucceeded(report), false);
  assert.match(
    renderReport(report)[1] ?? "",
    /^ {2}missing: \.millrace\/quickstart\/logs\/access\.log line 17 \(offset \d+\): behind the collectors' channels/,
  );
});

void test("a removed output file leaves every line missing: ten are named, the rest counted", async (t) => {
  const run = await finishedRun(t);
  await unlink(run.outputFile);
  const report = await run.report();
  assert.equal(runSucceeded(report), false);
  const lines = renderReport(report);
  assert.equal(lines.filter((line) => /missing: .* line \d/.test(line)).length, 10);
  assert.equal(lines.at(-1), "  missing: 1,041 more");
});

const hops: { name: string; facts: Partial<RunReport>; want: RegExp }[] = [
  {
    name: "the edge's channel",
    facts: { edge: { ...edge, held: 3 } },
    want: /in the edge's channel, which holds 3 events/,
  },
  {
    name: "a collector that is down",
    facts: { collectors: [{ ...edge, name: "collector-1", running: false, held: 412 }] },
    want: /in collector-1, which is down and held 412 events when last asked/,
  },
  {
    name: "a collector's channel",
    facts: { collectors: [{ ...edge, name: "collector-2", held: 1 }] },
    want: /in collector-2's channel, which holds 1 event$/,
  },
  {
    name: "the link",
    facts: { edge: { ...edge, delivered: 1061 } },
    want: /on the link .*told OK for 1,061 events, the collectors accepted 1,051 events/,
  },
];

for (const { name, facts, want } of hops) {
  void test(`a missing line is looked for in ${name} when the numbers say so`, async (t) => {
    const run = await finishedRun(t);
    await editOutput(run, (lines) => lines.toSpliced(0, 1));
    assert.match(renderReport(await run.report(facts))[1] ?? "", want);
  });
}

void test("a line that the edge did not acknowledge is the source's", async (t) => {
  const run = await finishedRun(t);
  await rm(run.layout.positionFile);
  await editOutput(run, (lines) => lines.toSpliced(3, 1));
  assert.match(
    renderReport(await run.report())[1] ?? "",
    /the edge has not read it \(source logs\)/,
  );
});

void test("a changed line and an injected one fail the run and are named", async (t) => {
  const run = await finishedRun(t);
  await editOutput(run, (lines) =>
    lines.map((line, index) => (index === 4 ? `${line}!` : line)).toSpliced(8, 0, "who wrote this"),
  );
  const report = await run.report();
  assert.equal(runSucceeded(report), false);
  const text = renderReport(report).join("\n");
  assert.match(text, /wrong: .*1700000000000-1:5: not the bytes of .*access\.log line 5/);
  assert.match(text, /wrong: .*1700000000000-1:9: does not say which line it is/);
});

void test("half a line at the end of an output is explained by a killed collector only", async (t) => {
  const run = await finishedRun(t);
  await appendFile(run.outputFile, "{byteoffset=0, fi");
  assert.equal(runSucceeded(await run.report({ killed: 0 })), false);
  const report = await run.report({ killed: 1 });
  assert.equal(runSucceeded(report), true);
  assert.match(renderReport(report).at(-1) ?? "", /1 output files end in half a line/);
});

void test("a file that was truncated or removed meanwhile is not judged, and that is said", async (t) => {
  const run = await finishedRun(t);
  const audit = createRunAudit(nodeFileSystem, run.inputs, run.layout);
  await audit.update();
  const [access = "", orders = ""] = run.inputs;
  await truncate(access, 10);
  await unlink(orders);
  await audit.update();
  const { setAside, missing } = audit.judge.verdict();
  assert.equal(missing, 0);
  assert.deepEqual(
    [...setAside],
    [
      [access, "was rotated or truncated meanwhile"],
      [orders, "was removed meanwhile"],
    ],
  );
});

void test("an input's last line without its end is not asked for, and counted", async (t) => {
  const run = await finishedRun(t);
  await appendFile(run.inputs[0] ?? "", "half a li");
  const report = await run.report();
  assert.equal(runSucceeded(report), true);
  assert.match(renderReport(report).at(-1) ?? "", /1 files end in a line without its end/);
});
