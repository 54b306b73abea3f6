import { type ChildProcess, spawn } from "node:child_process";
import type { TestContext } from "node:test";
import { waitFor, within } from "../wait-for.ts";

export interface ChildOptions {
  /** Program and arguments. */
  readonly command: readonly string[];
  readonly cwd?: string;
  /** Added to this process's environment; undefined takes a name away. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Runs as this user. */
  readonly uid?: number;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A real process in a group of its own, which ends with the test that started it, whatever happens. */
export interface Child {
  readonly pid: number;
  readonly exit: Exit | undefined;
  /** What it has written so far, both streams as they came. */
  output(): string;
  /** Waits until the output contains the text; fails with the output when it ends or takes longer. */
  says(text: string | RegExp, deadlineMs?: number): Promise<void>;
  /** To the process and to what it started. Nothing when it has ended. */
  signal(signal: NodeJS.Signals): void;
  exited(deadlineMs?: number): Promise<Exit>;
}

const running = new Set<ChildProcess>();
process.once("exit", () => {
  for (const child of running) signalGroup(child, "SIGKILL");
});

export function startChild(test: TestContext, options: ChildOptions): Child {
  const [program = "", ...args] = options.command;
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...process.env, NODE_TEST_CONTEXT: undefined, ...options.environment },
    uid: options.uid,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  let output = "";
  let exit: Exit | undefined;
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8").on("data", (text: string) => (output += text));
  }
  const ended = new Promise<Exit>((resolve) => {
    child.on("error", (error) => {
      output += `cannot start: ${error.message}\n`;
      running.delete(child);
      resolve((exit = { code: null, signal: null }));
    });
    child.on("close", (code, signal) => {
      running.delete(child);
      resolve((exit = { code, signal }));
    });
  });
  test.after(async () => {
    signalGroup(child, "SIGKILL");
    await within(`the end of process ${child.pid}`, ended);
  });
  const contains = (text: string | RegExp): boolean =>
    typeof text === "string" ? output.includes(text) : text.test(output);

  return {
    pid: child.pid ?? -1,
    get exit() {
      return exit;
    },
    output: () => output,
    async says(text, deadlineMs = 30_000) {
      try {
        await waitFor(String(text), () => contains(text) || exit !== undefined, deadlineMs);
      } catch (error) {
        throw new Error(`${(error as Error).message}; its output:\n${output}`);
      }
      if (!contains(text)) {
        throw new Error(
          `ended with ${JSON.stringify(exit)} before ${text}; its output:\n${output}`,
        );
      }
    },
    signal: (signal) => signalGroup(child, signal),
    async exited(deadlineMs = 30_000) {
      try {
        return await within(`the end of process ${child.pid}`, ended, deadlineMs);
      } catch (error) {
        throw new Error(`${(error as Error).message}; its output:\n${output}`);
      }
    },
  };
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  try {
    process.kill(-child.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
