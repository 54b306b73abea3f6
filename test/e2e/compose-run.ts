/** `npm run compose:local` as a test runs it: on free ports, from source, in a folder of the test's own. */
import { type Child, projectRoot, startChild, tempDirectory } from "@millrace/testing";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";

export interface ComposeRun {
  readonly child: Child;
  /** What the edge tails. */
  readonly logs: string;
  readonly state: string;
  /** Of what has said that it is ready: by its name. */
  services(): ReadonlyMap<string, { readonly url: string; readonly pid: number }>;
  /** As Ctrl-C does, or another signal; resolves with what it said, once all are gone. */
  stop(signal?: NodeJS.Signals): Promise<string>;
}

const readyMs = 120_000;

/** Resolves when all are ready. */
export async function startCompose(
  test: TestContext,
  without: readonly string[],
): Promise<ComposeRun> {
  const folder = await tempDirectory(test);
  const [logs, state] = [join(folder, "logs"), join(folder, "state")];
  await mkdir(logs);
  const running: Child[] = [];
  // Before the kit's own hook, which kills: what it started is in process groups of their own.
  test.after(async () => {
    for (const child of running) {
      child.signal("SIGTERM");
      await child.exited(90_000);
    }
  });
  const script = join(projectRoot, "scripts", "compose-local.ts");
  const node = ["--conditions=millrace-source", `--import=${import.meta.resolve("tsx")}`];
  const words = ["--free-ports", `--state=${state}`, `--without=${without.join(",")}`];
  const child = startChild(test, {
    command: [process.execPath, ...node, script, ...words],
    environment: { LOGS: logs },
  });
  running.push(child);
  await child.says("all are ready", readyMs);

  return {
    child,
    logs,
    state,
    services() {
      const lines = child.output().matchAll(/^ {2}(\S+)\s+(http:\S+).* pid (\d+)$/gm);
      return new Map(
        [...lines].map(([, name = "", url = "", pid]) => [name, { url, pid: Number(pid) }]),
      );
    },
    async stop(signal = "SIGINT") {
      child.signal(signal);
      const { code } = await child.exited(90_000);
      if (code !== 0) throw new Error(`compose:local ended with ${code}:\n${child.output()}`);
      return child.output();
    },
  };
}
