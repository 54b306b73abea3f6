import { projectRoot, startChild } from "@millrace/testing";
import { join } from "node:path";
import type { TestContext } from "node:test";

/** Runs `simulate.ts` in a process of its own and gives what it counted; fails with what it said. */
export async function runSimulation<T>(
  test: TestContext,
  words: readonly [string, string, number, number],
  deadlineMs = 500_000,
): Promise<T> {
  const program = join(projectRoot, "test", "crash", "simulate.ts");
  const command = [
    process.execPath,
    "--conditions=millrace-source",
    `--import=${import.meta.resolve("tsx")}`,
    program,
    ...words.map(String),
  ];
  const child = startChild(test, { command });
  const { code } = await child.exited(deadlineMs);
  const said = child.output().trim();
  // 13: a promise that nothing would ever have settled.
  if (code !== 0) throw new Error(`simulate ${words.join(" ")} ended with ${code}:\n${said}`);
  return JSON.parse(said.split("\n").at(-1) ?? "") as T;
}
