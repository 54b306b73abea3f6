import {
  type Child,
  type ChildOptions,
  type Exit,
  freePort,
  startChild,
  waitFor,
} from "@millrace/testing";
import { connect } from "node:net";
import type { TestContext } from "node:test";
import type { Flume } from "./fetch-flume.ts";

export interface JavaAgentOptions {
  /** The agent's name in its configuration. */
  readonly name: string;
  readonly configFile: string;
  /** Ports that must accept connections before the agent counts as started. */
  readonly listensOn?: readonly number[];
  /** Components whose start is waited for: "SINK.k1". */
  readonly waitsFor?: readonly string[];
  readonly heapMiB?: number;
}

/** A real Java Flume agent; started, killed and started again like one of ours. */
export interface JavaAgent {
  readonly running: boolean;
  start(deadlineMs?: number): Promise<void>;
  kill(signal?: NodeJS.Signals, deadlineMs?: number): Promise<Exit>;
  metrics(): Promise<Record<string, Record<string, string>>>;
  output(): string;
}

/** The words that run a class of Flume's or ours. Neither version needs --add-opens on Java 17. */
export function javaCommand(flume: Flume, mainClass: string, heapMiB = 256): readonly string[] {
  return [
    "java",
    `-Xmx${heapMiB}m`,
    // Two cores are shared with everything else: start fast rather than run fast.
    ...["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"],
    "-Dfile.encoding=UTF-8",
    ...["-cp", flume.classPath],
    mainClass,
  ];
}

export async function createJavaAgent(
  test: TestContext,
  flume: Flume,
  options: JavaAgentOptions,
): Promise<JavaAgent> {
  const { name, configFile, listensOn = [], waitsFor = [] } = options;
  const monitoringPort = await freePort();
  const [java = "java", ...rest] = javaCommand(
    flume,
    "org.apache.flume.node.Application",
    options.heapMiB,
  );
  const command = [
    java,
    "-Dflume.monitoring.type=http",
    `-Dflume.monitoring.port=${monitoringPort}`,
    ...rest,
    ...["-n", name, "-f", configFile, "--no-reload-conf"],
  ];
  const childOptions: ChildOptions = { command };
  const lives: Child[] = [];

  async function metrics(): Promise<Record<string, Record<string, string>>> {
    const url = `http://127.0.0.1:${monitoringPort}/metrics`;
    const response = await fetch(url, { signal: AbortSignal.timeout(5_000) });
    return (await response.json()) as Record<string, Record<string, string>>;
  }

  async function isReady(): Promise<boolean> {
    const now = await metrics().catch(() => undefined);
    if (now === undefined) return false;
    if (!waitsFor.every((component) => Number(now[component]?.["StartTime"] ?? 0) > 0))
      return false;
    return (await Promise.all(listensOn.map(accepts))).every(Boolean);
  }

  return {
    get running() {
      const child = lives.at(-1);
      return child !== undefined && child.exit === undefined;
    },
    async start(deadlineMs = 90_000) {
      const child = startChild(test, childOptions);
      lives.push(child);
      await waitFor(
        `Java agent ${name} to be ready`,
        async () => child.exit !== undefined || (await isReady()),
        deadlineMs,
      ).catch((error: Error) => {
        throw new Error(`${error.message}; its output:\n${child.output()}`);
      });
      if (child.exit !== undefined) {
        throw new Error(`Java agent ${name} ended while starting:\n${child.output()}`);
      }
    },
    async kill(signal = "SIGKILL", deadlineMs) {
      const child = lives.at(-1);
      if (child === undefined) throw new Error(`Java agent ${name} was never started`);
      child.signal(signal);
      return await child.exited(deadlineMs);
    },
    metrics,
    output: () => lives.map((child) => child.output()).join(""),
  };
}

/** Whether somebody takes connections there. */
function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port, timeout: 2_000 });
    const end = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
    socket.once("timeout", () => end(false));
  });
}
