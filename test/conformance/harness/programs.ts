import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { startChild } from "@millrace/testing";
import type { TestContext } from "node:test";

/** What these tests need on the machine; Maven only while something has to be fetched. */
export type Program = "java" | "javac" | "keytool" | "mvn";

export function missingPrograms(names: readonly Program[]): Program[] {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return names.filter((name) => !folders.some((folder) => existsSync(join(folder, name))));
}

/** With CI=true or MILLRACE_REQUIRE=1 what cannot be tested is a failure, not a skip. */
export function mustRun(): boolean {
  return process.env["CI"] === "true" || process.env["MILLRACE_REQUIRE"] === "1";
}

/** Runs a program to its end and gives its output; throws it when the exit code is not 0. */
export async function run(
  test: TestContext,
  command: readonly string[],
  deadlineMs: number,
): Promise<string> {
  const child = startChild(test, { command });
  const { code } = await child.exited(deadlineMs);
  if (code === 0) return child.output();
  throw new Error(`${command.join(" ")} ended with ${code}:\n${child.output().slice(-4_000)}`);
}
