import { createAgentProcess } from "@millrace/testing";
import { writeFile } from "node:fs/promises";
import type { TestContext } from "node:test";
import type { Flume } from "./fetch-flume.ts";
import { createJavaAgent } from "./java-agent.ts";

export type Kind = "java" | "ours";

/** An agent of either kind. */
export interface AnyAgent {
  readonly running: boolean;
  start(deadlineMs?: number): Promise<void>;
  kill(signal?: NodeJS.Signals, deadlineMs?: number): Promise<unknown>;
  metrics(): Promise<Record<string, Record<string, string>>>;
  output(): string;
}

export interface AnyAgentOptions {
  readonly kind: Kind;
  readonly flume: Flume;
  /** Its agent is `a1`. */
  readonly config: string;
  readonly configFile: string;
  /** Ports of its sources. */
  readonly listensOn?: readonly number[];
  /** Components that a Java agent must have started: "CHANNEL.c". */
  readonly waitsFor?: readonly string[];
}

export async function createAnyAgent(
  test: TestContext,
  { kind, flume, config, ...options }: AnyAgentOptions,
): Promise<AnyAgent> {
  await writeFile(options.configFile, config);
  const named = { ...options, name: "a1" };
  return kind === "java"
    ? await createJavaAgent(test, flume, named)
    : await createAgentProcess(test, named);
}
