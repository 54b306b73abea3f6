import {
  type Child,
  createSeededRandom,
  projectRoot,
  startChild,
  tempDirectory,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";

export interface SoakOptions {
  readonly seed: number;
  /** Ends after so many kills, or after this time, whichever comes first. */
  readonly kills: number;
  readonly durationMs: number;
  /** Where the channel lives, when it is to be a disk of one's choice. */
  readonly directory?: string;
  /** Ends a life, and leaves what the next one finds; kill -9 unless given. */
  readonly end?: (child: Child) => Promise<void>;
}

/** What is known of the events, over all lives. */
class SoakOracle {
  readonly told = new Set<number>();
  readonly issued = new Set<number>();
  readonly delivered = new Set<number>();
  readonly counts = { duplicates: 0, lives: 0, killedInStart: 0, inDoubt: 0 };

  /** Reads what a life wrote down; the last line may be cut by the kill. */
  read(journal: string): void {
    const settled = new Set<number>();
    const lines = journal.split("\n").slice(0, -1);
    for (const line of lines) {
      const [what = "", ...rest] = line.split(" ");
      const ids = rest.map(Number);
      const [from = 0, to = -1] = ids;
      assert.notEqual(what, "bad", "a body is not what was put");
      if (what === "i") for (let id = from; id <= to; id++) this.issued.add(id);
      if (what === "o") for (let id = from; id <= to; id++) this.told.add(id);
      if (what === "s") for (const id of ids) settled.add(id);
      if (what !== "d") continue;
      for (const id of ids) {
        assert.ok(this.issued.has(id), `event ${id} was never put`);
        assert.ok(!settled.has(id), `event ${id} was settled and came again in the same life`);
        if (this.delivered.has(id)) this.counts.duplicates++;
        this.delivered.add(id);
      }
    }
  }

  judge(): void {
    const lost = [...this.told].filter((id) => !this.delivered.has(id));
    assert.deepEqual(lost.slice(0, 10), [], `${lost.length} events were told OK and are lost`);
    this.counts.inDoubt = this.issued.size - this.told.size;
  }
}

/**
 * kill -9 at random moments, the start among them, of a process that puts and takes through a real
 * channel on a real disk; then a drain, by which every event that was told OK must have come.
 */
export async function soakFileChannel(test: TestContext, options: SoakOptions): Promise<void> {
  const { seed, kills, durationMs } = options;
  const random = createSeededRandom(seed);
  const folder = await tempDirectory(test);
  const directory = options.directory ?? join(folder, "data");
  const end = options.end ?? kill;
  const oracle = new SoakOracle();
  const began = performance.now();
  let life = 0;
  while (life < kills && performance.now() - began < durationMs) {
    const child = startLife(test, { folder, directory }, ++life, seed, "work");
    const inStart = random.integer(4) === 0;
    await child.says(inStart ? "starting" : "open with", 60_000);
    const afterMs = random.integer(inStart ? 40 : random.integer(3) === 0 ? 1500 : 200);
    await new Promise((resolve) => setTimeout(resolve, afterMs));
    assert.equal(child.exit, undefined, child.output());
    await end(child);
    if (!child.output().includes("open with")) oracle.counts.killedInStart++;
    oracle.read(await readJournal(folder, life));
  }
  oracle.counts.lives = life;
  for (const expected of ["drained", "open with 0"]) {
    const child = startLife(test, { folder, directory }, ++life, seed, "drain");
    await child.says(expected, 120_000);
    assert.deepEqual(await child.exited(60_000), { code: 0, signal: null }, child.output());
    oracle.read(await readJournal(folder, life));
  }
  oracle.judge();
  const { told, delivered, counts } = oracle;
  test.diagnostic(
    `seed ${seed}: ${counts.lives} kills, ${counts.killedInStart} of them in a start; ${told.size} events told OK, ` +
      `${counts.inDoubt} never answered, ${delivered.size} delivered, ${counts.duplicates} deliveries repeated, 0 lost`,
  );
  assert.ok(counts.lives >= 5 && told.size > counts.lives * 50, `${told.size} events`);
  assert.ok(counts.duplicates > 0, "no kill hit anything that was under way");
}

async function kill(child: Child): Promise<void> {
  child.signal("SIGKILL");
  await child.exited();
}

function startLife(
  test: TestContext,
  { folder, directory }: { folder: string; directory: string },
  life: number,
  seed: number,
  mode: string,
): Child {
  const words = [directory, journalPath(folder, life), life, seed, mode];
  const command = [
    process.execPath,
    "--conditions=millrace-source",
    `--import=${import.meta.resolve("tsx")}`,
    join(projectRoot, "test", "chaos", "soak-child.ts"),
    ...words.map(String),
  ];
  return startChild(test, { command });
}

function journalPath(folder: string, life: number): string {
  return join(folder, `life-${life}.txt`);
}

function readJournal(folder: string, life: number): Promise<string> {
  return readFile(journalPath(folder, life), "utf8");
}
