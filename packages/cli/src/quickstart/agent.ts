import { type FileHandle, type Runtime, sleep } from "@millrace/core";
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { AgentFacts } from "./locate-missing.ts";
import { parseReading, type Reading } from "./readings.ts";
import { createStoryFilter } from "./agent-story.ts";

/** A real agent in a process of its own. */
export interface Agent {
  readonly name: string;
  readonly pid: number | undefined;
  readonly state: "down" | "starting" | "up";
  /** Of this life, oldest first; a few seconds' worth. */
  readonly readings: readonly Reading[];
  readonly facts: AgentFacts;
  /** Resolves when it is ready; throws with the end of its log when it ends before. */
  start(): Promise<void>;
  /** SIGKILL. Resolves when it is gone. */
  kill(): Promise<void>;
  /** SIGTERM, and SIGKILL after half a minute. */
  stop(): Promise<void>;
  /** Asks for its metrics; leaves the readings as they are when it does not answer. */
  poll(): Promise<void>;
  /** SIGKILL without waiting: for the end of this process. */
  destroy(): void;
}

export interface AgentOptions {
  readonly name: string;
  /** What follows `millrace agent`. */
  readonly args: readonly string[];
  readonly monitoringPort: number;
  readonly logFile: string;
  /** Given what its log says of interest, and that it ended though nobody asked it to. */
  readonly tell: (words: string) => void;
}

const readyWithinMs = 60_000;
const stopWithinMs = 30_000;
const readingsKept = 5;
const tailLines = 15;

export function createAgent(runtime: Runtime, options: AgentOptions): Agent {
  const { clock } = runtime;
  const url = `http://127.0.0.1:${options.monitoringPort}`;
  let child: ChildProcess | undefined;
  let ended: Promise<void> = Promise.resolve();
  let state: Agent["state"] = "down";
  let askedToEnd = false;
  let killed = false;
  let readings: Reading[] = [];
  let tail: string[] = [];
  const storyOf = createStoryFilter(clock);

  async function start(): Promise<void> {
    const log = await runtime.files.open(options.logFile, "append");
    state = "starting";
    askedToEnd = false;
    readings = [];
    tail = [];
    child = spawn(process.execPath, [...process.execArgv, cliMain, "agent", ...options.args], {
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    ended = watch(child, log);
    if (await becomesReady(child)) state = "up";
    else {
      await kill();
      throw new Error(
        `${options.name} did not start; ${options.logFile} ends with\n${lastWords()}`,
      );
    }
  }

  /** Resolves when the process is gone and its log is written. */
  async function watch(process: ChildProcess, log: FileHandle): Promise<void> {
    let writing: Promise<unknown> = Promise.resolve();
    for (const stream of [process.stdout, process.stderr]) {
      if (stream === null) continue;
      stream.on("data", (chunk: Buffer) => {
        writing = writing.then(() => log.write([chunk], 0));
      });
      createInterface(stream).on("line", (line) => {
        tail = [...tail, line].slice(-tailLines);
        const story = askedToEnd ? undefined : storyOf(line);
        if (story !== undefined) options.tell(story);
      });
    }
    const exit = await new Promise<string>((resolve) => {
      process.on("error", (error) => resolve(error.message));
      process.on("close", (code, signal) => resolve(signal ?? `exit code ${code}`));
    });
    await writing;
    await log.close();
    const unexpected = state === "up" && !askedToEnd;
    state = "down";
    if (!unexpected) return;
    killed = true;
    options.tell(`ended by itself (${exit}): ${tail.at(-1) ?? "it said nothing"}`);
  }

  async function becomesReady(started: ChildProcess): Promise<boolean> {
    const deadline = clock.monotonic() + readyWithinMs;
    while (clock.monotonic() < deadline && state === "starting" && child === started) {
      if ((await get("/readyz")) !== undefined) return true;
      await sleep(clock, 50);
    }
    return false;
  }

  /** The body of a good answer; undefined for any other, or none. */
  async function get(path: string): Promise<string | undefined> {
    try {
      const response = await fetch(url + path, { signal: AbortSignal.timeout(2_000) });
      return response.ok ? await response.text() : undefined;
    } catch {
      return undefined;
    }
  }

  function signal(name: NodeJS.Signals): void {
    askedToEnd = true;
    child?.kill(name);
  }

  async function kill(): Promise<void> {
    killed = true;
    signal("SIGKILL");
    await ended;
  }

  const lastWords = (): string => tail.map((line) => `    ${line}`).join("\n");

  return {
    name: options.name,
    get pid() {
      return child?.pid;
    },
    get state() {
      return state;
    },
    get readings() {
      return readings;
    },
    get facts() {
      const { accepted = 0, delivered = 0, held = 0 } = readings.at(-1) ?? {};
      return { name: options.name, running: state === "up", killed, accepted, delivered, held };
    },
    start,
    kill,
    async stop() {
      if (state === "down") return;
      signal("SIGTERM");
      const late = clock.setTimer(stopWithinMs, () => signal("SIGKILL"));
      await ended;
      late.cancel();
    },
    async poll() {
      const asked = child;
      if (state !== "up") return;
      const [json, prometheus] = await Promise.all([get("/metrics"), get("/metrics/prometheus")]);
      if (json === undefined || prometheus === undefined) return;
      const reading = parseReading(JSON.parse(json), prometheus, clock.monotonic());
      if (child === asked) readings = [...readings, reading].slice(-readingsKept);
    },
    destroy: () => signal("SIGKILL"),
  };
}

const cliMain = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "../main.ts" : "../main.js", import.meta.url),
);
