/** Starts what was planned, keeps it running as Compose would, and stops it in order. */
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, createWriteStream, mkdirSync, readdirSync } from "node:fs";
import { readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { PlannedProcess } from "./local-plan.ts";

export interface RunningProcess {
  readonly name: string;
  /** Undefined between two lives. */
  readonly pid: number | undefined;
  readonly logFile: string;
  /** Resolves when its health check says yes; fails when it ends first or takes longer. */
  ready(deadlineMs: number): Promise<void>;
  /** SIGTERM, and SIGKILL when that takes too long; resolves when it is gone. */
  stop(graceMs: number): Promise<void>;
}

const restartDelayMs = 1000;

/** Makes its folders, and copies its configurations: `edit` changes their text behind `rewrite`. */
export function prepare(plan: PlannedProcess, edit: (text: string) => string): void {
  for (const folder of plan.folders) mkdirSync(folder, { recursive: true });
  for (const [from, to] of plan.copies) {
    rmSync(to, { recursive: true, force: true });
    mkdirSync(dirname(to), { recursive: true });
    cpSync(from, to, { recursive: true });
    for (const file of filesOf(to)) {
      if (!/\.(conf|ya?ml)$/.test(file)) continue;
      writeFileSync(file, edit(plan.rewrite(readFileSync(file, "utf8"))));
    }
  }
}

/** Starts it, and again a second after it ended, until it is stopped. */
export function run(
  plan: PlannedProcess,
  program: readonly string[],
  healthUrl: string,
  say: (line: string) => void,
): RunningProcess {
  const logFile = join(plan.folder, "output.log");
  const output = createWriteStream(logFile, { flags: "w" });
  const [file = "", ...first] = program;
  let child: ChildProcess | undefined;
  let timer: NodeJS.Timeout | undefined;
  let stopping = false;
  let wasReady = false;
  let ended: Promise<void> = Promise.resolve();

  function start(): void {
    const next = spawn(file, [...first, ...plan.words], {
      cwd: plan.folder,
      env: { ...process.env, ...plan.environment },
      // Ctrl-C is for us alone: we stop it in its turn.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    child = next;
    for (const stream of [next.stdout, next.stderr]) stream?.pipe(output, { end: false });
    ended = new Promise((resolve) => {
      next.once("error", (error) => {
        output.write(`cannot start: ${error.message}\n`);
        child = undefined;
        resolve();
      });
      next.once("close", (code, signal) => {
        child = undefined;
        resolve();
        if (stopping || !wasReady) return;
        say(`${plan.name} ended with ${signal ?? `code ${code}`}: it is started again`);
        timer = setTimeout(start, restartDelayMs);
      });
    });
  }

  start();
  return {
    name: plan.name,
    logFile,
    get pid() {
      return child?.pid;
    },
    async ready(deadlineMs) {
      const deadline = performance.now() + deadlineMs;
      while (!(await answers(healthUrl))) {
        const tail = (): string => readFileSync(logFile, "utf8").slice(-3000);
        if (child === undefined) throw new Error(`${plan.name} ended while starting:\n${tail()}`);
        if (performance.now() > deadline) {
          throw new Error(`${plan.name} is not ready after ${deadlineMs / 1000} s:\n${tail()}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      wasReady = true;
    },
    async stop(graceMs) {
      stopping = true;
      clearTimeout(timer);
      child?.kill("SIGTERM");
      const killer = setTimeout(() => child?.kill("SIGKILL"), graceMs);
      await ended;
      clearTimeout(killer);
    },
  };
}

async function answers(url: string): Promise<boolean> {
  const response = await fetch(url, { signal: AbortSignal.timeout(2000) }).catch(() => undefined);
  await response?.body?.cancel();
  return response?.ok === true;
}

function filesOf(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  return readdirSync(path).flatMap((name) => filesOf(join(path, name)));
}
