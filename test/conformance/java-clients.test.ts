/** Flume's RPC clients and its avro-client against sources of ours. */
import {
  createAgentProcess,
  freePort,
  startChild,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { awkwardEvents, numberedDeck } from "./decks.ts";
import {
  agentConfig,
  fileChannel,
  memoryChannel,
  type Path,
  tierConfig,
} from "./harness/agent-config.ts";
import { type AnyAgent, createAnyAgent } from "./harness/any-agent.ts";
import { type Collector, createCollector } from "./harness/collector.ts";
import { assertSameEvents, type Deck, event } from "./harness/deck.ts";
import { findFlume, type Flume, flumeVersions } from "./harness/fetch-flume.ts";
import { javaCommand } from "./harness/java-agent.ts";
import { type Sending, startRpcDriver } from "./harness/rpc-driver.ts";

const local = "127.0.0.1";
const arriveWithinMs = 90_000;
const batches = numberedDeck([1, 10, 100, 1_000, 10_000]);
const awkward = awkwardEvents(10 * 1024 * 1024);
const patient = { "connect-timeout": "60000", "request-timeout": "60000" };

for (const version of flumeVersions) {
  void test(`the RPC clients of Flume ${version} deliver every event to our sources`, async (t) => {
    const flume = await findFlume(t, version);
    if (flume === undefined) return;
    const folder = await tempDirectory(t);
    const stage = await createSources(t, folder, {
      default: "avro",
      append: "avro",
      failover: "avro",
      balanceA: "avro",
      balanceB: "avro",
      compact: "thrift",
      binary: "thrift",
      cli: "avro",
    });
    const { address, collector } = stage;
    const dead = `${local}:${await freePort()}`;
    const balanced = numberedDeck(Array.from({ length: 40 }, () => 10));
    const plain: Sending[] = [
      {
        name: "default",
        properties: { hosts: "h1", "hosts.h1": address("default"), "batch-size": "10000" },
        deck: [awkward, ...batches],
        call: "appendBatch",
      },
      {
        name: "append",
        properties: { "client.type": "default", hosts: "h1", "hosts.h1": address("append") },
        deck: [awkward],
        call: "append",
      },
      {
        name: "failover",
        properties: {
          "client.type": "default_failover",
          hosts: "h1 h2",
          "hosts.h1": dead,
          "hosts.h2": address("failover"),
        },
        deck: [awkward, ...batches],
        call: "appendBatch",
      },
      {
        name: "balance",
        properties: {
          "client.type": "default_loadbalance",
          hosts: "h1 h2 h3",
          "hosts.h1": address("balanceA"),
          "hosts.h2": address("balanceB"),
          "hosts.h3": dead,
          backoff: "true",
        },
        deck: balanced,
        call: "appendBatch",
      },
      ...(["compact", "binary"] as const).map((protocol): Sending => {
        const properties = { "client.type": "thrift", hosts: "h1", "hosts.h1": address(protocol) };
        return {
          name: protocol,
          properties: { ...properties, protocol, "batch-size": "10000" },
          deck: [awkward, ...batches],
          call: "appendBatch",
        };
      }),
    ];
    const sendings = plain.map((sending) => ({
      ...sending,
      properties: { ...sending.properties, ...patient },
    }));
    const driver = await startRpcDriver(t, flume, folder, sendings);
    await driver.finished(arriveWithinMs * 2);

    for (const { name, deck } of sendings.filter(({ name }) => name !== "balance")) {
      await t.test(`client ${name}`, async () => {
        const events = deck.flat();
        await arrived(collector(name), events.length);
        assertSameEvents(collector(name).events, events);
      });
    }
    await t.test("client balance: both hosts have a share, and together everything", async () => {
      const both = [collector("balanceA"), collector("balanceB")];
      const total = (): number => both.reduce((sum, { events }) => sum + events.length, 0);
      const events = balanced.flat();
      await waitFor(`${events.length} events`, () => total() >= events.length, arriveWithinMs);
      for (const { events: share } of both) assert.ok(share.length >= 100, `${share.length} only`);
      const byNumber = both
        .flatMap((each) => each.events)
        .sort((a, b) => Number(a.headers.get("number")) - Number(b.headers.get("number")));
      assertSameEvents(byNumber, events);
    });
    await t.test(
      "avro-client: a file's lines, with the headers of its headerFile",
      async (inner) => {
        await runAvroClient(inner, flume, folder, address("cli"), collector("cli"));
      },
    );
  });
}

for (const type of ["default_failover", "default_loadbalance"] as const) {
  void test(`what a ${type} client of Java was told OK is there after each of our agents was killed`, async (t) => {
    const flume = await findFlume(t, "1.11.0");
    if (flume === undefined) return;
    const folder = await tempDirectory(t);
    const collector = await createCollector(t);
    const agents: AnyAgent[] = [];
    const addresses: Record<string, string> = {};
    for (const name of ["h1", "h2"]) {
      const port = String(await freePort());
      addresses[`hosts.${name}`] = `${local}:${port}`;
      const source = { type: "avro", bind: local, port };
      const sink = { type: "avro", hostname: local, port: String(collector.port) };
      const agent = await createAnyAgent(t, {
        kind: "ours",
        flume,
        config: tierConfig(fileChannel(join(folder, name)), source, sink),
        configFile: join(folder, `${name}.conf`),
      });
      await agent.start();
      agents.push(agent);
    }
    const deck = numberedDeck(Array.from({ length: 300 }, () => 20));
    const driver = await startRpcDriver(t, flume, folder, [
      {
        name: "flow",
        properties: { "client.type": type, hosts: "h1 h2", ...addresses },
        deck,
        call: "appendBatch",
        attempts: 100,
        restMs: 20,
      },
    ]);
    const acknowledged = async (count: number): Promise<void> =>
      await waitFor(
        `${count} acknowledged batches`,
        () => driver.acknowledged("flow") >= count,
        arriveWithinMs,
      ).catch((error: Error) => {
        throw new Error(`${error.message}; the driver:\n${driver.output().slice(-3_000)}`);
      });
    for (const [index, agent] of agents.entries()) {
      await acknowledged(50 + 100 * index);
      await agent.kill("SIGKILL");
      await acknowledged(100 + 100 * index);
      await agent.start();
    }
    await driver.finished(arriveWithinMs);
    const wanted = new Set(deck.flat().map(({ headers }) => headers.get("number")));
    const seen = (): Set<string | undefined> =>
      new Set(collector.events.map(({ headers }) => headers.get("number")));
    await waitFor("every event", () => seen().size >= wanted.size, arriveWithinMs);
    assert.deepEqual(seen(), wanted);
    t.diagnostic(`${wanted.size} events, ${collector.events.length - wanted.size} duplicates`);
  });
}

interface Sources {
  address(name: string): string;
  collector(name: string): Collector;
}

/** An agent of ours with a source of each name, and a collector behind each. */
async function createSources(
  t: TestContext,
  folder: string,
  wires: Readonly<Record<string, "avro" | "thrift">>,
): Promise<Sources> {
  const paths: Record<string, Path> = {};
  const ports = new Map<string, number>();
  const collectors = new Map<string, Collector>();
  for (const [name, wire] of Object.entries(wires)) {
    const [port, collector] = [await freePort(), await createCollector(t)];
    ports.set(name, port);
    collectors.set(name, collector);
    const protocol = name === "binary" ? { protocol: "binary" } : {};
    paths[name] = {
      source: { type: wire, bind: local, port: String(port), ...protocol },
      channel: memoryChannel,
      sink: {
        type: "avro",
        hostname: local,
        port: String(collector.port),
        "batch-size": "1000",
        ...patient,
      },
    };
  }
  const configFile = join(folder, "ours.conf");
  await writeFile(configFile, agentConfig("ours", paths));
  const agent = await createAgentProcess(t, { name: "ours", configFile });
  await agent.start();
  return {
    address: (name) => `${local}:${ports.get(name)}`,
    collector(name) {
      const collector = collectors.get(name);
      if (collector === undefined) throw new Error(`no collector ${name}`);
      return collector;
    },
  };
}

async function runAvroClient(
  t: TestContext,
  flume: Flume,
  folder: string,
  address: string,
  collector: Collector,
): Promise<void> {
  const lines = ["first", "zweite Zeile, übrigens", "", "水", ...batches.flat().map(bodyText)];
  const [linesFile, headerFile] = [join(folder, "lines"), join(folder, "headers")];
  await writeFile(linesFile, `${lines.join("\n")}\n`);
  await writeFile(headerFile, "host = here\nkind = cli\n");
  const [host = "", port = ""] = address.split(":");
  const command = [
    ...javaCommand(flume, "org.apache.flume.client.avro.AvroCLIClient"),
    ...["-H", host, "-p", port, "-F", linesFile, "-R", headerFile],
  ];
  const child = startChild(t, { command });
  const { code } = await child.exited(arriveWithinMs);
  assert.equal(code, 0, child.output());
  const deck: Deck = [lines.map((line) => event(line, { host: "here", kind: "cli" }))];
  await arrived(collector, lines.length);
  assertSameEvents(collector.events, deck.flat());
}

const bodyText = ({ body }: { readonly body: Buffer }): string => body.toString();

async function arrived({ events }: Collector, count: number): Promise<void> {
  await waitFor(`${count} events`, () => events.length >= count, arriveWithinMs);
}
