/**
 * `npm run compose:local`: docker-compose.yml without containers. The same command lines and the same
 * configurations run as processes of this machine, with mounts become folders below .millrace/compose
 * and published ports on loopback. What is not installed is left out, and said.
 *
 *     --state <folder>        instead of .millrace/compose
 *     --free-ports            instead of the published ones
 *     --without <a,b>         leaves services out
 */
import { freePort, programCommand } from "@millrace/testing";
import { existsSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { installedGoProgram } from "../test/harness/go-program.ts";
import { consulProgram, prometheusProgram } from "../test/harness/go-programs.ts";
import { readComposeFile } from "./compose-local/compose-file.ts";
import {
  type PlannedProcess,
  planProcesses,
  withFixedCollectors,
} from "./compose-local/local-plan.ts";
import { prepare, run, type RunningProcess } from "./compose-local/run-plan.ts";

const project = dirname(dirname(fileURLToPath(import.meta.url)));
const readyMs = 60_000;
/** As in docker-compose.yml. */
const graceMs = 60_000;

const { values } = parseArgs({
  options: {
    state: { type: "string", default: join(project, ".millrace", "compose") },
    "free-ports": { type: "boolean", default: false },
    without: { type: "string", default: "" },
  },
});
const without = values.without.split(",");
const state = resolve(values.state);
const say = (line: string): void => console.log(line);

/** From source where this runs from source, else what was built. */
function agentProgram(): string[] {
  const fromSource = process.execArgv.includes("--conditions=millrace-source");
  if (fromSource) return [...programCommand("cli/main")];
  return [process.execPath, join(project, "packages", "cli", "bin", "millrace.js")];
}

/** The program of a planned process, or why it is left out. */
function programOf({ name, role }: PlannedProcess): string[] | string {
  if (without.includes(name)) return "as asked";
  switch (role) {
    case "agent":
      return agentProgram();
    case "consul":
    case "prometheus": {
      const wanted = role === "consul" ? consulProgram : prometheusProgram;
      const found = installedGoProgram(wanted);
      return found === undefined ? `there is none: put it on PATH, or its path into ${wanted.variable}` : [found]; // prettier-ignore
    }
    case "other":
      return "it has no form without a container";
  }
}

function healthPath({ role, ports }: PlannedProcess): string {
  const [port, path] = {
    agent: [41414, "/readyz"] as const,
    consul: [8500, "/v1/status/leader"] as const,
    prometheus: [9090, "/-/ready"] as const,
    other: [0, "/"] as const,
  }[role];
  return `http://127.0.0.1:${ports.get(port)}${path}`;
}

function describe({ role, ports }: PlannedProcess): string {
  if (role !== "agent") return `http://127.0.0.1:${[...ports.values()][0]}`;
  const avro = ports.get(4141);
  const takes = avro === undefined ? "" : `, takes events on 127.0.0.1:${avro}`;
  return `http://127.0.0.1:${ports.get(41414)}/metrics${takes}`;
}

async function main(): Promise<void> {
  const services = readComposeFile(join(project, "docker-compose.yml"));
  const table = new Map<number, number>();
  const published = [...services.flatMap(({ ports }) => ports.map(({ host }) => host)), 8300, 8301];
  for (const port of published) table.set(port, values["free-ports"] ? await freePort() : port);
  const plans = planProcesses(services, {
    project,
    state,
    port: (each) => table.get(each) ?? each,
  });
  const programs = plans.map((plan) => ({ plan, program: programOf(plan) }));
  const hasConsul = programs.some(
    ({ plan, program }) => plan.role === "consul" && typeof program !== "string",
  );
  const collectors = plans
    .filter(({ role, ports }) => role === "agent" && ports.has(4141))
    .map(({ ports }) => `127.0.0.1:${ports.get(4141)}`);
  const edit = (text: string): string => (hasConsul ? text : withFixedCollectors(text, collectors));

  say(`docker-compose.yml without containers, in ${relative(process.cwd(), state) || state}`);
  for (const { plan, program } of programs) {
    if (typeof program !== "string") continue;
    say(`  ${plan.name} is left out: ${program}`);
    if (plan.role === "consul")
      say(`    the edge has a fixed list instead: ${collectors.join(", ")}`);
    if (plan.role === "other")
      say("    its dashboard: import deploy/grafana/millrace.json into yours");
  }
  const runnable = programs.filter(({ program }) => typeof program !== "string");
  for (const [from] of runnable.flatMap(({ plan }) => plan.copies)) {
    if (!existsSync(from)) throw new Error(`docker-compose.yml mounts ${from}, which is not there`);
  }

  // As Compose: what others ask first, the edge last; stopped in reverse, so that nothing is refused.
  const order = ["consul", "prometheus", "agent"];
  const rank = ({ plan }: { plan: PlannedProcess }): number =>
    order.indexOf(plan.role) * 2 + (plan.ports.has(4141) ? 0 : 1);
  const running: RunningProcess[] = [];
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= stopAll(running));
  const asked = new Promise<void>((done) => {
    // Those it started do not hear that the terminal is closed: they would run on.
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => done());
  });
  const started = async (): Promise<void> => {
    for (const { plan, program } of runnable.sort((a, b) => rank(a) - rank(b))) {
      if (typeof program === "string") continue;
      if (stopped !== undefined) return;
      prepare(plan, edit);
      const child = run(plan, program, healthPath(plan), say);
      running.push(child);
      await child.ready(readyMs);
      say(`  ${plan.name.padEnd(12)} ${describe(plan)}  pid ${child.pid}`);
    }
    say(`  written      ${relative(process.cwd(), join(state, "volumes"))}/collector-*/out-*`);
    say(`  said         ${relative(process.cwd(), state)}/*/output.log`);
    say("all are ready; Ctrl-C stops them");
  };
  try {
    await Promise.race([started().then(() => asked), asked]);
    say("stopping");
  } finally {
    await stop();
  }
  say("stopped");
}

async function stopAll(running: readonly RunningProcess[]): Promise<void> {
  for (const child of [...running].reverse()) await child.stop(graceMs);
}

await main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
