/**
 * `npm run bench -- backlog [--events 10000000 --java <folder of Flume's jars>]`: an agent is filled
 * with a backlog that nobody takes, killed, and started again: how long until it accepts the first
 * event, and how much memory it needs for that. The same with Java Flume when its jars are named
 * (the conformance suite keeps them in ~/.cache/millrace-test/flume-1.11.0/lib).
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { createFrame, flumeHash, replyStatus } from "./frame.ts";
import { agentMain, freePort } from "./processes.ts";

const { values } = parseArgs({
  options: {
    events: { type: "string", default: "10000000" },
    java: { type: "string" },
    heap: { type: "string", default: "4g" },
  },
});
const events = Number(values.events);
const batch = 1000;
const fillDeadlineMs = 3_600_000;
if (!(events > 0 && Number.isInteger(events / batch))) {
  throw new Error(`--events ${values.events} is not a multiple of ${batch}`);
}

console.log(
  "| agent | events | GB on disk | filled in | killed, then first accepted after | MiB then | MiB while filled |",
);
console.log("|---|---|---|---|---|---|---|");
await measure("Millrace", (conf) => ({
  program: process.execPath,
  args: [agentMain, "agent", "-n", "a1", "-f", conf],
}));
const { java } = values;
if (java !== undefined) {
  await measure("Java Flume", (conf) => ({
    program: "java",
    args: [
      `-Xmx${values.heap}`,
      ...["-cp", `${java}/*`, "org.apache.flume.node.Application"],
      ...["-n", "a1", "-f", conf, "--no-reload-conf"],
    ],
  }));
}

interface Command {
  readonly program: string;
  readonly args: readonly string[];
}

async function measure(name: string, commandOf: (conf: string) => Command): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "millrace-backlog-"));
  const port = await freePort();
  const conf = join(directory, "agent.conf");
  await writeFile(conf, configuration(directory, port, await freePort()));
  const { program, args } = commandOf(conf);
  const start = (): ChildProcess => spawn(program, args, { stdio: "ignore" });
  let agent = start();
  try {
    await firstAccepted(port, 120_000);
    const began = performance.now();
    await fill(port, events);
    const filledSeconds = (performance.now() - began) / 1000;
    const filledMiB = peakMiB(agent);
    const gigabytes = (await sizeOf(directory)) / 1e9;
    agent.kill("SIGKILL");
    await once(agent, "exit");
    agent = start();
    const restarted = performance.now();
    await firstAccepted(port, 1_800_000);
    const seconds = (performance.now() - restarted) / 1000;
    const cells = [
      name,
      events.toLocaleString("en"),
      gigabytes.toFixed(1),
      `${filledSeconds.toFixed(0)} s`,
      `${seconds.toFixed(2)} s`,
      peakMiB(agent).toFixed(0),
      filledMiB.toFixed(0),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  } finally {
    if (agent.exitCode === null && agent.signalCode === null) {
      agent.kill("SIGKILL");
      await once(agent, "exit");
    }
    await rm(directory, { recursive: true, force: true });
  }
}

/** The sink's next hop does not listen: everything stays in the channel. */
function configuration(directory: string, port: number, nobody: number): string {
  return `
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = avro
a1.sources.r1.channels = c1
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = ${port}
a1.channels.c1.type = file
a1.channels.c1.checkpointDir = ${directory}/checkpoint
a1.channels.c1.dataDirs = ${directory}/data
a1.channels.c1.capacity = ${events * 2}
a1.channels.c1.transactionCapacity = 10000
a1.sinks.k1.type = avro
a1.sinks.k1.channel = c1
a1.sinks.k1.hostname = 127.0.0.1
a1.sinks.k1.port = ${nobody}
`;
}

/** Sends one event again and again until it is accepted. */
async function firstAccepted(port: number, deadlineMs: number): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (performance.now() < deadline) {
    if (await send(port, 1, 1, 1).catch(() => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`nothing was accepted within ${deadlineMs} ms`);
}

async function fill(port: number, count: number): Promise<void> {
  const deadline = performance.now() + fillDeadlineMs;
  for (let left = count / batch; left > 0;) {
    const some = Math.min(1000, left);
    if (!(await send(port, batch, some, 4))) throw new Error("a batch was not accepted");
    left -= some;
    if (performance.now() > deadline) throw new Error("filling takes too long");
  }
}

/** Sends so many batches over one connection; whether all of them were accepted. */
function send(port: number, size: number, batches: number, inFlight: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, "127.0.0.1");
    const frames = [createFrame(size, flumeHash), createFrame(size, undefined)] as const;
    let sent = 0;
    let answered = 0;
    let pending: Buffer = Buffer.alloc(0);
    const end = (accepted: boolean): void => {
      socket.destroy();
      resolve(accepted);
    };
    const next = (): void => {
      const { head, body } = frames[sent === 0 ? 0 : 1];
      const numbered = Buffer.from(head);
      numbered.writeInt32BE(++sent, 0);
      socket.write(numbered);
      socket.write(body);
    };
    socket.setTimeout(120_000, () => socket.destroy(new Error("no answer")));
    socket.on("connect", next);
    socket.on("data", (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      for (let reply = replyStatus(pending); reply; reply = replyStatus(pending)) {
        pending = pending.subarray(reply.bytes);
        if (!reply.ok) return end(false);
        if (++answered === batches) return end(true);
        while (sent < batches && sent - answered < inFlight) next();
      }
    });
    socket.on("error", reject);
    socket.on("close", () => resolve(false));
  });
}

/** The most memory the process has had, from Linux's /proc. */
function peakMiB(agent: ChildProcess): number {
  const status = readFileSync(`/proc/${agent.pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? NaN) / 1024;
}

async function sizeOf(directory: string): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) bytes += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return bytes;
}
