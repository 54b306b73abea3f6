/**
 * 400 clients of one collector that is killed under them and comes back: all connect again at one
 * moment. Plain TCP, and TLS, where each connection costs the collector a handshake.
 */
import { EventBatch, MillraceError } from "@millrace/core";
import { createRpcClient, type RpcClient } from "@millrace/rpc";
import {
  type AgentProcess,
  createAgentProcess,
  freePort,
  tempDirectory,
  waitFor,
  within,
  writeTestStores,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

const clientCount = 400;
const batchEvents = 20;
const bodyBytes = 500;
/** Of each client, behind the one that is sent again. */
const batchesAfterwards = 3;
/** No timeout is to end a call of a machine that is only slow. */
const patience = { "connect-timeout": "120000", "request-timeout": "120000" };
/** A collector that kept all that 400 clients may have in flight would need far more. */
const residentBytesMax = 700 * 2 ** 20;

/** One sender: it sends each batch again until it is told OK, as a sink does. */
interface Sender {
  readonly acknowledged: Set<string>;
  /** Its failures by code. */
  readonly failures: Map<string, number>;
  readonly sent: number;
  /** One batch after another while there are `more`; after a failure it waits until told. */
  send(more: () => boolean, returned: () => Promise<void>): Promise<void>;
  close(): Promise<void>;
}

async function sender(name: number, properties: Record<string, string>): Promise<Sender> {
  let client: RpcClient | undefined = await createRpcClient(properties);
  const acknowledged = new Set<string>();
  const failures = new Map<string, number>();
  let last = 0;
  return {
    acknowledged,
    failures,
    get sent() {
      return last;
    },
    async send(more, returned) {
      while (more()) {
        const ids = Array.from({ length: batchEvents }, () => `${name}-${++last}`);
        const events = ids.map((id) => ({ body: Buffer.from(id.padEnd(bodyBytes, ".")) }));
        const batch = EventBatch.fromEvents(events);
        for (;;) {
          try {
            client ??= await createRpcClient(properties);
            await client.appendBatch(batch);
            break;
          } catch (error) {
            assert.ok(error instanceof MillraceError && error.answer === "retry", String(error));
            failures.set(error.code, (failures.get(error.code) ?? 0) + 1);
            await client?.close(AbortSignal.abort());
            client = undefined;
            await returned();
          }
        }
        for (const id of ids) acknowledged.add(id);
      }
    },
    close: async () => client?.close(),
  };
}

interface Collector {
  readonly process: AgentProcess;
  readonly port: number;
  readonly out: string;
}

async function collector(t: TestContext, extra: string): Promise<Collector> {
  const folder = await tempDirectory(t);
  const out = join(folder, "out");
  await mkdir(out);
  const port = await freePort();
  const configFile = join(folder, "collector.conf");
  await writeFile(
    configFile,
    `
a1.sources = r
a1.channels = c
a1.sinks = k
a1.sources.r.type = avro
a1.sources.r.bind = 127.0.0.1
a1.sources.r.port = ${port}
a1.sources.r.channels = c
${extra}
a1.channels.c.type = file
a1.channels.c.checkpointDir = ${folder}/checkpoint
a1.channels.c.dataDirs = ${folder}/data
a1.channels.c.capacity = 1000000
a1.sinks.k.type = file_roll
a1.sinks.k.channel = c
a1.sinks.k.sink.directory = ${out}
a1.sinks.k.sink.batchSize = 1000
`,
  );
  const process = await createAgentProcess(t, { name: "a1", configFile });
  return { process, port, out };
}

/** Asks for readiness all the while; gives the answers and the most memory that was seen. */
function watch({ process: { monitoringPort } }: Collector) {
  const url = (path: string): string => `http://127.0.0.1:${monitoringPort}${path}`;
  const seen = { ready: 0, notReady: 0, residentBytes: 0, longestMs: 0 };
  let over = false;
  const asking = (async () => {
    while (!over) {
      const startMs = performance.now();
      // Far more than it takes: what is judged is that it is answered during the herd at all.
      const { ok } = await fetch(url("/readyz"), { signal: AbortSignal.timeout(30_000) });
      if (ok) seen.ready++;
      else seen.notReady++;
      seen.longestMs = Math.max(seen.longestMs, performance.now() - startMs);
      const text = await (await fetch(url("/metrics/prometheus"))).text();
      const bytes = Number(/^process_resident_memory_bytes (\S+)/m.exec(text)?.[1] ?? NaN);
      seen.residentBytes = Math.max(seen.residentBytes, bytes);
    }
  })();
  return {
    async end() {
      over = true;
      await asking;
      return seen;
    },
  };
}

async function stored({ out }: Collector): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const name of await readdir(out)) {
    for (const line of (await readFile(join(out, name), "latin1")).split("\n")) {
      const id = line.replace(/\.+$/, "");
      if (line.length === bodyBytes) counts.set(id, (counts.get(id) ?? 0) + 1);
    }
  }
  return counts;
}

async function herd(
  t: TestContext,
  source: string,
  client: Readonly<Record<string, string>>,
): Promise<void> {
  const one = await collector(t, source);
  await one.process.start();
  const properties = { hosts: "h1", "hosts.h1": `127.0.0.1:${one.port}`, ...patience, ...client };
  const unexpected = (): Promise<void> => Promise.reject(new Error("the collector is up"));
  const senders: Sender[] = [];
  for (let i = 0; i < clientCount; i += 8) {
    const some = Array.from({ length: 8 }, (_, j) => sender(i + j, properties));
    senders.push(...(await Promise.all(some)));
  }
  t.after(() => Promise.all(senders.map((each) => each.close())));
  await Promise.all(senders.map((each) => each.send(() => each.sent === 0, unexpected)));

  let release = (): void => {};
  const back = new Promise<void>((resolve) => (release = resolve));
  let waiting = 0;
  const sending = Promise.all(
    senders.map((each) => {
      let afterwards = 0;
      const more = (): boolean => each.failures.size === 0 || afterwards++ < batchesAfterwards;
      return each.send(more, () => {
        waiting++;
        return back;
      });
    }),
  );
  const acknowledged = (): number => senders.reduce((sum, each) => sum + each.acknowledged.size, 0);
  const connected = clientCount * batchEvents;
  await waitFor("some batches", () => acknowledged() > connected * 1.1, 60_000);
  await one.process.kill("SIGKILL");
  await waitFor("everyone to have noticed", () => waiting === clientCount, 60_000);
  await one.process.start();
  const watching = watch(one);
  release();
  await within("every batch to be answered", sending, 120_000);
  const seen = await watching.end();

  assert.ok(senders.every(({ acknowledged: ids, sent }) => ids.size === sent));
  assert.ok(acknowledged() >= clientCount * batchEvents * (2 + batchesAfterwards));
  const failed = senders.filter(({ failures }) => failures.size > 0).length;
  assert.equal(failed, clientCount, "each client lost its connection");
  const again = senders.reduce((sum, { failures }) => {
    return sum + [...failures.values()].reduce((a, b) => a + b) - 1;
  }, 0);
  assert.equal(again, 0, "nobody was turned away after the return");
  assert.ok(seen.ready >= 1 && seen.notReady === 0, JSON.stringify(seen));
  assert.ok(seen.residentBytes > 0 && seen.residentBytes < residentBytesMax, JSON.stringify(seen));

  await waitFor("an empty channel", async () => {
    const { "CHANNEL.c": channel } = await one.process.metrics();
    return channel?.["ChannelSize"] === "0";
  }, 60_000); // prettier-ignore
  const counts = await stored(one);
  const missing = senders.flatMap((each) => [...each.acknowledged].filter((id) => !counts.has(id)));
  assert.deepEqual(missing, [], "acknowledged, and not in the output");
  const duplicates = [...counts.values()].reduce((sum, count) => sum + count - 1, 0);
  const megabytes = Math.round(seen.residentBytes / 2 ** 20);
  t.diagnostic(
    `${counts.size} events, ${duplicates} twice; readiness answered ${seen.ready} times, ` +
      `the slowest in ${Math.round(seen.longestMs)} ms; ${megabytes} MiB resident`,
  );
}

void test("400 clients come back at once over plain TCP: all are served, nothing is lost", (t) =>
  herd(t, "", {}));

void test("400 clients come back at once over TLS: handshakes are admitted, all are served", async (t) => {
  const stores = await writeTestStores(await tempDirectory(t));
  await herd(
    t,
    `
a1.sources.r.ssl = true
a1.sources.r.keystore = ${stores.server.p12}
a1.sources.r.keystore-type = PKCS12
a1.sources.r.keystore-password = ${stores.password}`,
    { ssl: "true", truststore: stores.trust.pem, "truststore-type": "PEM" },
  );
});
