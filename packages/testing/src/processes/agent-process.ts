import type { TestContext } from "node:test";
import { waitFor } from "../wait-for.ts";
import { programCommand } from "./agent-command.ts";
import { type Child, type Exit, startChild } from "./child-process.ts";
import { freePort } from "./free-port.ts";

export interface AgentProcessOptions {
  /** The agent's name in its configuration. */
  readonly name: string;
  readonly configFile: string;
  /** What `-Dname=value` gives it. */
  readonly defines?: Readonly<Record<string, string | number>>;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
}

/** An agent that can be started, killed and started again on the same directories and ports. */
export interface AgentProcess {
  readonly monitoringPort: number;
  readonly running: boolean;
  /** Lives it has had. */
  readonly starts: number;
  /** Resolves when `/readyz` says yes; fails with the agent's output when it ends or takes longer. */
  start(deadlineMs?: number): Promise<void>;
  /** Resolves when it is gone. */
  kill(signal?: NodeJS.Signals, deadlineMs?: number): Promise<Exit>;
  /** Flume's JSON: `SOURCE.name` to attribute to text. */
  metrics(): Promise<Record<string, Record<string, string>>>;
  /** Of all its lives. */
  output(): string;
}

export async function createAgentProcess(
  test: TestContext,
  options: AgentProcessOptions,
): Promise<AgentProcess> {
  const monitoringPort = await freePort();
  const lives: Child[] = [];
  const url = (path: string): string => `http://127.0.0.1:${monitoringPort}${path}`;
  const defines = {
    "flume.monitoring.type": "http",
    "flume.monitoring.port": monitoringPort,
    ...options.defines,
  };
  const command = [
    ...programCommand("cli/main"),
    "agent",
    ...["-n", options.name, "-f", options.configFile],
    ...Object.entries(defines).map(([key, value]) => `-D${key}=${value}`),
  ];
  const current = (): Child | undefined => lives.at(-1);

  return {
    monitoringPort,
    get running() {
      const child = current();
      return child !== undefined && child.exit === undefined;
    },
    get starts() {
      return lives.length;
    },
    async start(deadlineMs = 60_000) {
      const child = startChild(test, { ...options, command });
      lives.push(child);
      await waitFor(
        `agent ${options.name} to be ready`,
        async () => child.exit !== undefined || (await isReady(url("/readyz"))),
        deadlineMs,
      ).catch((error: Error) => {
        throw new Error(`${error.message}; its output:\n${child.output()}`);
      });
      if (child.exit === undefined) return;
      throw new Error(`agent ${options.name} ended while starting; its output:\n${child.output()}`);
    },
    async kill(signal = "SIGKILL", deadlineMs) {
      const child = current();
      if (child === undefined) throw new Error(`agent ${options.name} was never started`);
      child.signal(signal);
      return await child.exited(deadlineMs);
    },
    async metrics() {
      const response = await fetch(url("/metrics"), { signal: AbortSignal.timeout(5_000) });
      return (await response.json()) as Record<string, Record<string, string>>;
    },
    output: () => lives.map((child) => child.output()).join(""),
  };
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { signal: AbortSignal.timeout(2_000) })).ok;
  } catch {
    return false;
  }
}
