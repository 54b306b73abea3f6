import { silentLog, systemClock } from "@millrace/core";
import { createAvroServer, createRpcClient } from "@millrace/rpc";
import {
  type Child,
  freePort,
  programCommand,
  startChild,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Alert, PrometheusServer } from "./prometheus-server.ts";

/** Where a scenario plays: a folder, a Prometheus, agents that it scrapes, next hops, senders. */
export interface Stage {
  readonly test: TestContext;
  readonly folder: string;
  readonly prometheus: PrometheusServer;
  /** Starts an agent and has it scraped. */
  agent(name: string, conf: string, role?: string): Promise<StagedAgent>;
  /** Waits until this alert fires for these labels. */
  fires(alert: string, labels: Readonly<Record<string, string>>): Promise<Alert>;
  /** Waits until it neither fires nor is about to. */
  ends(alert: string, labels: Readonly<Record<string, string>>): Promise<void>;
}

export interface StagedAgent {
  readonly instance: string;
  readonly configFile: string;
  start(): Promise<void>;
  child(): Child;
}

const patienceMs = 200_000;

export async function createStage(
  test: TestContext,
  prometheus: PrometheusServer,
  provoked: Set<string>,
): Promise<Stage> {
  const folder = await tempDirectory(test);
  const find = async (
    name: string,
    labels: Readonly<Record<string, string>>,
  ): Promise<Alert | undefined> => {
    const wanted = Object.entries({ alertname: name, ...labels });
    return (await prometheus.alerts()).find((alert) =>
      wanted.every(([key, value]) => alert.labels[key] === value),
    );
  };
  const wait = (what: string, condition: () => Promise<boolean>): Promise<void> =>
    waitFor(what, paced(condition), patienceMs);

  return {
    test,
    folder,
    prometheus,
    agent: (name, conf, role) => createAgent(test, prometheus, folder, { name, conf, role }),
    async fires(name, labels) {
      let found: Alert | undefined;
      await wait(`${name} to fire for ${JSON.stringify(labels)}`, async () => {
        found = await find(name, labels);
        return found?.state === "firing";
      });
      assert.ok(found !== undefined);
      for (const text of Object.values(found.annotations)) {
        assert.doesNotMatch(text, /<no value>|<error|\{\{| on :/, name);
      }
      test.diagnostic(found.annotations["summary"] ?? "");
      provoked.add(name);
      return found;
    },
    async ends(name, labels) {
      await wait(`${name} to end`, async () => (await find(name, labels)) === undefined);
    },
  };
}

let agents = 0;

async function createAgent(
  test: TestContext,
  prometheus: PrometheusServer,
  folder: string,
  { name, conf, role = "relay" }: { name: string; conf: string; role?: string | undefined },
): Promise<StagedAgent> {
  const port = await freePort();
  const configFile = join(folder, `${name}-${agents++}.conf`);
  await writeFile(configFile, conf);
  const lives: Child[] = [];
  const start = async (): Promise<void> => {
    const child = startChild(test, {
      command: [
        ...programCommand("cli/main"),
        ...["agent", "-n", name, "-f", configFile],
        "-Dflume.monitoring.type=prometheus",
        `-Dflume.monitoring.port=${port}`,
        `-Dmillrace.role=${role}`,
        "-Dmillrace.drainSeconds=1",
      ],
    });
    lives.push(child);
    const ready = async (): Promise<boolean> =>
      child.exit !== undefined ||
      (await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined))?.ok === true;
    await waitFor(`agent ${name} to be ready`, paced(ready), 90_000);
    assert.equal(child.exit, undefined, child.output());
  };
  await start();
  // Clusters keep scenarios apart that share the Prometheus.
  const instance = await prometheus.watch(port, folder);
  return { instance, configFile, start, child: () => lives.at(-1) as Child };
}

/** An Avro server that can be slow, refuse, go away and come back. */
export interface Receiver {
  readonly port: number;
  readonly events: number;
  delayMs: number;
  /** How many of a hundred requests fail. */
  failing: number;
  start(): Promise<void>;
  stop(): Promise<void>;
}

export async function createReceiver(test: TestContext): Promise<Receiver> {
  const port = await freePort();
  const state = { events: 0, requests: 0, delayMs: 0, failing: 0 };
  const make = () =>
    createAvroServer({
      ...{ host: "127.0.0.1", port, clock: systemClock, log: silentLog },
      async handler(batch) {
        if (state.delayMs > 0) await new Promise((done) => setTimeout(done, state.delayMs));
        if ((state.requests++ * 37) % 100 < state.failing) return "FAILED";
        state.events += batch.length;
        return "OK";
      },
    });
  let server = make();
  const stop = (): Promise<void> => server.stop(AbortSignal.abort());
  await server.start(new AbortController().signal);
  test.after(stop);
  return {
    port,
    get events() {
      return state.events;
    },
    get delayMs() {
      return state.delayMs;
    },
    set delayMs(ms) {
      state.delayMs = ms;
    },
    get failing() {
      return state.failing;
    },
    set failing(share) {
      state.failing = share;
    },
    stop,
    async start() {
      server = make();
      await server.start(new AbortController().signal);
    },
  };
}

export interface Sender {
  readonly sent: number;
  /** Twenty events; whatever becomes of them is counted or ignored. */
  send(): Promise<void>;
  /** Goes on with ten requests a second until stopped. */
  run(): void;
  stop(): Promise<void>;
}

/** Sends to an agent's Avro source. What it refuses is not sent again: alerts are what is looked at. */
export async function createSender(test: TestContext, port: number, bytes = 200): Promise<Sender> {
  const client = await createRpcClient({
    hosts: "h1",
    "hosts.h1": `127.0.0.1:${port}`,
    "request-timeout": "5000",
  });
  const body = "x".repeat(bytes);
  const batch = Array.from({ length: 20 }, () => ({ body }));
  let sent = 0;
  let running: Promise<void> | undefined;
  let stopping = false;
  const send = async (): Promise<void> => {
    try {
      await client.appendBatch(batch);
      sent += batch.length;
    } catch {
      // Full, or gone: as it should be for some of the alerts.
    }
  };
  const stop = async (): Promise<void> => {
    stopping = true;
    await running;
    running = undefined;
  };
  test.after(async () => {
    await stop();
    await client.close();
  });
  return {
    get sent() {
      return sent;
    },
    send,
    run() {
      stopping = false;
      running ??= (async () => {
        while (!stopping) {
          await send();
          await new Promise((done) => setTimeout(done, 100));
        }
      })();
    },
    stop,
  };
}

/** Asks twice a second, so that asking is no load. */
function paced(condition: () => Promise<boolean>): () => Promise<boolean> {
  return async () => {
    if (await condition()) return true;
    await new Promise((done) => setTimeout(done, 500));
    return false;
  };
}
