import { projectRoot, startChild } from "@millrace/testing";
import { join } from "node:path";
import type { TestContext } from "node:test";

/** Words for simulate.ts. */
export type SimulationWords = readonly [string, string, number, number];

export interface Task {
  readonly title: string;
  readonly words: SimulationWords;
}

type Counts = Record<string, number | Record<string, number>>;

/** Runs the tasks one after another, a subtest each, and adds up what they counted; prints the sum. */
export async function runTasks(
  test: TestContext,
  tasks: readonly Task[],
): Promise<Record<string, number>> {
  const sum: Record<string, number> = {};
  for (const { title, words } of tasks) {
    await test.test(title, async (sub) => {
      const { phases = {}, ...rest } = await simulate(sub, words);
      for (const [key, value] of Object.entries({ ...rest, ...(phases as object) })) {
        sum[key] = (sum[key] ?? 0) + Number(value);
      }
    });
  }
  const text = Object.entries(sum).map(([key, value]) => `${key} ${value}`);
  test.diagnostic(text.join(", "));
  return sum;
}

/** `total` in parts of at most `size`, numbered from 1. */
export function parts(total: number, size: number): { from: number; count: number }[] {
  return Array.from({ length: Math.ceil(total / size) }, (_, i) => ({
    from: 1 + i * size,
    count: Math.min(size, total - i * size),
  }));
}

/** Throws where a run contained less than what makes it a proof. */
export function assertAtLeast(sum: Record<string, number>, least: Record<string, number>): void {
  for (const [key, count] of Object.entries(least)) {
    if ((sum[key] ?? 0) >= count) continue;
    throw new Error(`only ${sum[key] ?? 0} of ${key}, not ${count}: ${JSON.stringify(sum)}`);
  }
}

/** Runs `simulate.ts` in a process of its own and gives what it counted; fails with what it said. */
async function simulate(test: TestContext, words: SimulationWords): Promise<Counts> {
  const command = [
    process.execPath,
    "--conditions=millrace-source",
    `--import=${import.meta.resolve("tsx")}`,
    join(projectRoot, "test", "crash", "simulate.ts"),
    ...words.map(String),
  ];
  const child = startChild(test, { command });
  const { code } = await child.exited(500_000);
  const said = child.output().trim();
  // 13: a promise that nothing would ever have settled.
  if (code !== 0) throw new Error(`simulate ${words.join(" ")} ended with ${code}:\n${said}`);
  return JSON.parse(said.split("\n").at(-1) ?? "") as Counts;
}
