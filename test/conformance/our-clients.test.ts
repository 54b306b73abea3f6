/** Our RPC clients and `millrace avro-client` against sources of Java Flume. */
import type { Event, MillraceError } from "@millrace/core";
import { createRpcClient, type RpcClient } from "@millrace/rpc";
import {
  freePort,
  programCommand,
  startChild,
  tempDirectory,
  waitFor,
  within,
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
import { createCollector } from "./harness/collector.ts";
import { assertSameEvents, type Deck, event, readDeck } from "./harness/deck.ts";
import { findFlume, type Flume, flumeVersions } from "./harness/fetch-flume.ts";
import { createJavaAgent } from "./harness/java-agent.ts";
import type { Settings } from "./harness/transports.ts";

const local = "127.0.0.1";
const arriveWithinMs = 90_000;
const batches = numberedDeck([1, 10, 100, 1_000, 10_000]);
const awkward = awkwardEvents(10 * 1024 * 1024);
const patient = { "connect-timeout": "60000", "request-timeout": "60000" };

for (const version of flumeVersions) {
  void test(`our RPC clients deliver every event to the sources of Flume ${version}`, async (t) => {
    const flume = await findFlume(t, version);
    if (flume === undefined) return;
    const folder = await tempDirectory(t);
    const names = ["default", "append", "failover", "balanceA", "balanceB"];
    const { address, received } = await createSources(t, flume, folder, {
      ...Object.fromEntries([...names, "cli"].map((name) => [name, { type: "avro" }])),
      compact: { type: "thrift" },
      binary: { type: "thrift", protocol: "binary" },
    });
    const dead = `${local}:${await freePort()}`;
    const everything: Deck = [awkward, ...batches];

    const one = (name: string): Settings => ({ hosts: "h1", "hosts.h1": address(name) });
    const cases: readonly {
      readonly name: string;
      readonly properties: Settings;
    }[] = [
      { name: "default", properties: { ...one("default"), "batch-size": "10000" } },
      {
        name: "failover",
        properties: {
          "client.type": "default_failover",
          hosts: "h1 h2",
          "hosts.h1": dead,
          "hosts.h2": address("failover"),
        },
      },
      {
        name: "compact",
        properties: { ...one("compact"), "client.type": "thrift", "batch-size": "10000" },
      },
      {
        name: "binary",
        properties: { ...one("binary"), "client.type": "thrift", protocol: "binary" },
      },
    ];
    for (const { name, properties } of cases) {
      await t.test(`client ${name}`, async (inner) => {
        const client = await connect(inner, properties);
        for (const batch of everything) await client.appendBatch(batch);
        await arrived(() => received(name), everything.flat().length);
        assertSameEvents(await received(name), everything.flat());
      });
    }
    await t.test("client default, an event a call", async (inner) => {
      const client = await connect(inner, one("append"));
      for (const each of awkward) await client.append(each);
      await arrived(() => received("append"), awkward.length);
      assertSameEvents(await received("append"), awkward);
    });
    await t.test(
      "client balance: both hosts have a share, and together everything",
      async (inner) => {
        const client = await connect(inner, {
          "client.type": "default_loadbalance",
          hosts: "h1 h2 h3",
          "hosts.h1": address("balanceA"),
          "hosts.h2": address("balanceB"),
          "hosts.h3": dead,
          backoff: "true",
        });
        const deck = numberedDeck(Array.from({ length: 40 }, () => 10));
        for (const batch of deck) await client.appendBatch(batch);
        const both = async (): Promise<Event[]> => [
          ...(await received("balanceA")),
          ...(await received("balanceB")),
        ];
        await arrived(both, deck.flat().length);
        const byNumber = (await both()).sort(
          (a, b) => Number(a.headers.get("number")) - Number(b.headers.get("number")),
        );
        assertSameEvents(byNumber, deck.flat());
        for (const name of ["balanceA", "balanceB"]) {
          assert.ok((await received(name)).length >= 100, name);
        }
      },
    );
    await t.test(
      "millrace avro-client: a file's lines, with the headers of its headerFile",
      async (inner) => {
        const lines = [
          "first",
          "zweite Zeile, übrigens",
          "",
          "水",
          ...batches.flat().map(bodyText),
        ];
        const [linesFile, headerFile] = [join(folder, "lines"), join(folder, "headers")];
        await writeFile(linesFile, `${lines.join("\n")}\n`);
        await writeFile(headerFile, "host = here\nkind = cli\n");
        const [host = "", port = ""] = address("cli").split(":");
        const words = ["-H", host, "-p", port, "-F", linesFile, "-R", headerFile];
        const command = [...programCommand("cli/main"), "avro-client", ...words];
        const child = startChild(inner, { command });
        const { code } = await child.exited(arriveWithinMs);
        assert.equal(code, 0, child.output());
        const expected = lines.map((line) => event(line, { host: "here", kind: "cli" }));
        await arrived(() => received("cli"), expected.length);
        assertSameEvents(await received("cli"), expected);
      },
    );
  });
}

for (const type of ["default_failover", "default_loadbalance"] as const) {
  void test(`what a ${type} client of ours was told OK is there after each Java agent was killed`, async (t) => {
    const flume = await findFlume(t, "1.11.0");
    if (flume === undefined) return;
    const folder = await tempDirectory(t);
    const collector = await createCollector(t);
    const agents: AnyAgent[] = [];
    const addresses: Record<string, string> = {};
    for (const name of ["h1", "h2"]) {
      const port = await freePort();
      addresses[`hosts.${name}`] = `${local}:${port}`;
      const source = { type: "avro", bind: local, port: String(port) };
      const sink = { type: "avro", hostname: local, port: String(collector.port) };
      const agent = await createAnyAgent(t, {
        kind: "java",
        flume,
        config: tierConfig(fileChannel(join(folder, name)), source, sink),
        configFile: join(folder, `${name}.conf`),
        listensOn: [port],
        waitsFor: ["CHANNEL.c"],
      });
      await agent.start();
      agents.push(agent);
    }
    const client = await connect(t, {
      "client.type": type,
      hosts: "h1 h2",
      ...addresses,
      "request-timeout": "10000",
    });
    let acknowledged = 0;
    let failures = 0;
    let goal = 0;
    const numbers = new Set<string>();
    /** Sends steadily; a call that fails is made again, as an application would. */
    const sending = (async () => {
      for (let batch = 0; batch < goal || goal === 0; batch++) {
        const events = Array.from({ length: 20 }, (_, i) =>
          event("x".repeat(50), { number: `${batch}.${i}` }),
        );
        for (;;) {
          try {
            await client.appendBatch(events);
            break;
          } catch (error) {
            if ((error as MillraceError).code === "RPC_CLIENT_CLOSED") throw error;
            failures++;
            await new Promise((resolve) => setTimeout(resolve, 100));
          }
        }
        for (const { headers } of events) numbers.add(headers.get("number") ?? "");
        acknowledged++;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    })();
    const more = async (batchCount: number): Promise<void> => {
      const until = acknowledged + batchCount;
      await waitFor(`${batchCount} more batches`, () => acknowledged >= until, arriveWithinMs);
    };
    for (const agent of agents) {
      await more(50);
      await agent.kill("SIGKILL");
      await more(50);
      await agent.start();
    }
    goal = acknowledged + 50;
    await within("the last batches", sending, arriveWithinMs);
    const seen = (): Set<string | undefined> =>
      new Set(collector.events.map(({ headers }) => headers.get("number")));
    await waitFor("every event", () => seen().size >= numbers.size, arriveWithinMs);
    assert.deepEqual(seen(), numbers);
    const duplicates = collector.events.length - numbers.size;
    t.diagnostic(`${numbers.size} events, ${failures} failed calls, ${duplicates} duplicates`);
  });
}

interface Sources {
  address(name: string): string;
  received(name: string): Promise<Event[]>;
}

/** A Java agent with each of these sources, all of which keep what they receive. */
async function createSources(
  t: TestContext,
  flume: Flume,
  folder: string,
  sources: Readonly<Record<string, Settings>>,
): Promise<Sources> {
  const paths: Record<string, Path> = {};
  const ports = new Map<string, number>();
  const deckOf = (name: string): string => join(folder, `${name}.out`);
  for (const [name, settings] of Object.entries(sources)) {
    const port = await freePort();
    ports.set(name, port);
    paths[name] = {
      source: { bind: local, port: String(port), ...settings },
      channel: { ...memoryChannel, "keep-alive": "0" },
      sink: { type: "millrace.conformance.DeckSink", deck: deckOf(name) },
    };
  }
  const configFile = join(folder, "java.conf");
  await writeFile(configFile, agentConfig("java", paths));
  const listensOn = [...ports.values()];
  const agent = await createJavaAgent(t, flume, {
    name: "java",
    configFile,
    listensOn,
    heapMiB: 1024,
  });
  await agent.start();
  return {
    address: (name) => `${local}:${ports.get(name)}`,
    received: (name) => readDeck(deckOf(name)),
  };
}

async function connect(t: TestContext, properties: Settings): Promise<RpcClient> {
  const client = await createRpcClient({ ...patient, ...properties });
  t.after(() => client.close(AbortSignal.timeout(5_000)));
  return client;
}

const bodyText = ({ body }: { readonly body: Buffer }): string => body.toString();

async function arrived(events: () => Promise<readonly Event[]>, count: number): Promise<void> {
  await waitFor(`${count} events`, async () => (await events()).length >= count, arriveWithinMs);
}
