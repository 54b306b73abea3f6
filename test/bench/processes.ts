import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const ticksPerSecond = 100;

export interface Usage {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

export interface Running {
  readonly process: ChildProcess;
  /** Resolves with the first line of output that matches. */
  line(pattern: RegExp, deadlineMs?: number): Promise<RegExpExecArray>;
  usage(): Usage;
  stop(): Promise<void>;
}

/** Starts `node <args>` and listens to its lines. */
export function startNode(args: readonly string[]): Running {
  const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on("line", (line) => {
      lines.push(line);
      for (const look of [...waiting]) look();
    });
  }
  return {
    process: child,
    line(pattern, deadlineMs = 20_000) {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(look);
          reject(new Error(`no line ${pattern} from ${args.join(" ")}:\n${lines.join("\n")}`));
        }, deadlineMs);
        const look = (): void => {
          for (const line of lines) {
            const match = pattern.exec(line);
            if (match === null) continue;
            clearTimeout(timer);
            waiting.delete(look);
            resolve(match);
            return;
          }
        };
        waiting.add(look);
        look();
      });
    },
    usage: () => readUsage(child.pid as number),
    stop() {
      return new Promise((resolve) => {
        if (child.exitCode !== null || child.signalCode !== null) {
          resolve();
          return;
        }
        child.once("exit", () => resolve());
        child.kill("SIGKILL");
      });
    },
  };
}

/** CPU time and resident memory of a process, from Linux's /proc. */
function readUsage(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const residentKb = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0);
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
    residentBytes: residentKb * 1024,
  };
}

/** A port nobody listens on at this moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = address !== null && typeof address === "object" ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}

export const agentMain = join(root, "packages/cli/dist/main.js");
