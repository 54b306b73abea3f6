import assert from "node:assert/strict";
import { appendFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createSeededRandom } from "../runtime/seeded-random.ts";
import { tempDirectory } from "../temp-directory.ts";
import { waitFor } from "../wait-for.ts";
import { createNumberedWriter } from "./numbered-writer.ts";
import { createOracle, type Demands, type Oracle } from "./oracle.ts";
import { readPositions } from "./position-file.ts";

interface Chain {
  readonly oracle: Oracle;
  readonly lines: readonly string[];
  readonly out: (name: string, ...lines: readonly string[]) => Promise<void>;
  /** Half a line at the end of an output file. */
  readonly tear: (name: string) => Promise<void>;
  readonly acknowledge: (bytes: number) => Promise<void>;
  readonly freshLine: () => Promise<string>;
}

/** Ten lines written, then one more after the faults; the rest is up to the test. */
async function chain(t: TestContext): Promise<Chain> {
  const folder = await tempDirectory(t);
  const input = join(folder, "a.log");
  const positionFile = join(folder, "positions.json");
  const outputs = { c1: join(folder, "c1"), c2: join(folder, "c2") };
  await mkdir(outputs.c1);
  await mkdir(outputs.c2);
  const oracle = createOracle({ positionFile, outputs });
  const writer = await createNumberedWriter({
    judge: oracle.judge,
    paths: [input],
    linesPerSecond: 100,
    lineBytes: 60,
    random: createSeededRandom(7),
  });
  await writer.write(10);
  t.after(() => writer.close());
  const lines = (await readFile(input, "utf8")).split("\n").slice(0, -1);
  assert.equal(lines.length, 10);
  return {
    oracle,
    lines,
    out: (name, ...text) =>
      appendFile(join(folder, name, "1700-1"), text.map((line) => `${line}\n`).join("")),
    tear: (name) => writeFile(join(folder, name, "1700-2"), "a.log:3:00"),
    acknowledge: (pos) => writeFile(positionFile, JSON.stringify([{ inode: 1, pos, file: input }])),
    async freshLine() {
      oracle.faultsEnded();
      await writer.write(1);
      return (await readFile(input, "utf8")).split("\n").at(-2) ?? "";
    },
  };
}

const demands: Demands = { lines: 11, faults: 2, duplicates: 1, tornLinesMax: 0 };

void test("a run that keeps every promise and contained what it should is reported in one line", async (t) => {
  const { oracle, lines, out, acknowledge, freshLine } = await chain(t);
  oracle.fault("kill edge");
  oracle.fault("kill edge");
  await out("c1", ...lines.slice(0, 6));
  await out("c2", ...lines.slice(4));
  await out("c2", await freshLine());
  await acknowledge(1e6);
  await oracle.settled(5_000);
  const report = await oracle.check(demands);
  assert.equal(
    report.text,
    "11 lines written, 11 acknowledged, 11 distinct in the output, 2 duplicates, 0 missing; faults: 2 x kill edge",
  );
  assert.equal(report.freshLines, 1);
});

const sabotages: {
  name: string;
  damage: (chain: Chain) => Promise<void>;
  complaint: RegExp;
}[] = [
  {
    name: "an acknowledged line that never arrives",
    damage: ({ out, lines }) => out("c1", ...lines.slice(0, 3), ...lines.slice(4)),
    complaint: /lost: .*"lineNumber":4/,
  },
  {
    name: "a line that was never written",
    damage: async ({ out, lines }) => {
      await out("c1", ...lines, "an injected line");
    },
    complaint: /never written: .*1700-1:11/,
  },
  {
    name: "a body that was changed",
    damage: ({ out, lines }) =>
      out("c1", ...lines.map((line, index) => (index === 8 ? line.replace(/.$/, "#") : line))),
    complaint: /lost|never written/,
  },
  {
    name: "lines in another order",
    damage: ({ out, lines }) =>
      out("c1", ...lines.slice(0, 4), lines[5] ?? "", lines[4] ?? "", ...lines.slice(6)),
    complaint: /out of order: .*a\.log line 5/,
  },
  {
    name: "half a line that no kill explains",
    damage: async ({ out, tear, lines }) => {
      await out("c1", ...lines);
      await tear("c2");
    },
    complaint: /1 lines without an end, 0 can be explained/,
  },
];

for (const { name, damage, complaint } of sabotages) {
  void test(`the oracle refuses ${name}`, async (t) => {
    const made = await chain(t);
    made.oracle.fault("cut");
    made.oracle.fault("cut");
    await damage(made);
    await made.out("c2", made.lines[0] ?? "", await made.freshLine());
    await made.acknowledge(1e6);
    await assert.rejects(made.oracle.check(demands), complaint);
  });
}

const idle: { name: string; change: Partial<Demands>; complaint: RegExp }[] = [
  { name: "too few lines", change: { lines: 12 }, complaint: /only 11 lines were written/ },
  { name: "too few faults", change: { faults: 3 }, complaint: /only 2 faults were done/ },
  { name: "no duplicates", change: { duplicates: 2 }, complaint: /only 1 duplicates/ },
];

for (const { name, change, complaint } of idle) {
  void test(`a run with ${name} is no proof`, async (t) => {
    const { oracle, lines, out, acknowledge, freshLine } = await chain(t);
    oracle.fault("cut");
    oracle.fault("stall");
    await out("c1", ...lines, lines[9] ?? "", await freshLine());
    await acknowledge(1e6);
    await assert.rejects(oracle.check({ ...demands, ...change }), complaint);
    await oracle.check(demands);
  });
}

void test("a run without a fresh line after the faults is no proof", async (t) => {
  const { oracle, lines, out, acknowledge } = await chain(t);
  await out("c1", ...lines);
  await acknowledge(1e6);
  await assert.rejects(
    oracle.check({ lines: 10, faults: 0, duplicates: 0, tornLinesMax: 0 }),
    /nothing was written after the faults stopped/,
  );
});

void test("a fresh line that does not get through is named, acknowledged or not", async (t) => {
  const { oracle, lines, out, freshLine } = await chain(t);
  await out("c1", ...lines, lines[0] ?? "");
  await freshLine();
  oracle.fault("cut");
  oracle.fault("cut");
  await assert.rejects(oracle.settled(50), /waited 50 ms for every line to arrive: .*"missing":1/);
  await assert.rejects(oracle.check(demands), /never got through: .*"lineNumber":11/);
});

void test("a position file that is missing or half written acknowledges nothing", async (t) => {
  const folder = await tempDirectory(t);
  const path = join(folder, "positions.json");
  assert.equal((await readPositions(path)).size, 0);
  await writeFile(path, '[{"inode":1,"pos":4');
  assert.equal((await readPositions(path)).size, 0);
  await writeFile(path, '[{"inode":1,"pos":40,"file":"/a/b.log"}]');
  assert.deepEqual([...(await readPositions(path))], [["/a/b.log", 40]]);
});

void test("a steady writer goes on until it is stopped, and the judge knows every line", async (t) => {
  const folder = await tempDirectory(t);
  const oracle = createOracle({ positionFile: join(folder, "none"), outputs: { c1: folder } });
  const writer = await createNumberedWriter({
    judge: oracle.judge,
    paths: [join(folder, "1"), join(folder, "2")],
    linesPerSecond: 2_000,
    lineBytes: 100,
    random: createSeededRandom(3),
  });
  t.after(() => writer.close());
  writer.start();
  await waitFor("some lines", () => writer.written > 300);
  await writer.stop();
  const { written } = writer;
  await oracle.update();
  const { issued, distinct } = oracle.judge.totals();
  assert.deepEqual([issued, distinct], [written, written], "the input read as an output");
});
