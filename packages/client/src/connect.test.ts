import { silentLog, systemClock } from "@millrace/core";
import { createAvroServer } from "@millrace/rpc";
import { createCollectingLog, freePort, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { pathToFileURL } from "node:url";
import { type ClientProperties, connect, type ConnectOptions, DeliveryError } from "./index.ts";

const never = new AbortController().signal;

/** An Avro source that keeps what it takes as [headers, body]. */
async function startSource(test: TestContext) {
  const events: [[string, string][], string][] = [];
  const server = createAvroServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log: silentLog,
    async handler(batch) {
      for (const { headers, body } of batch) events.push([[...headers], body.toString()]);
      return "OK";
    },
  });
  await server.start(never);
  const stop = () => server.stop(AbortSignal.abort());
  test.after(stop);
  return { address: `127.0.0.1:${server.port}`, events, stop };
}

async function open(test: TestContext, options: ConnectOptions | ClientProperties) {
  const client = await connect(options);
  test.after(() => client.close(AbortSignal.abort()));
  return client;
}

test("the README's first example runs as it is, and its events arrive", async (t) => {
  const { address, events } = await startSource(t);
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  const example = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? "";
  const index = new URL("./index.ts", import.meta.url).href;
  const file = join(await tempDirectory(t), "example.mts");
  await writeFile(file, example.replace("@millrace/client", index).replace("127.0.0.1:4141", address)); // prettier-ignore
  await import(pathToFileURL(file).href);
  assert.deepEqual(events, [
    [[["host", "web7"]], "one line"],
    [[["app", "shop"]], "a"],
    [[["app", "shop"]], "b"],
    [[["app", "shop"]], "c"],
  ]);
});

test("a header named __proto__ survives, from a map and from an object of JSON", async (t) => {
  const { address, events } = await startSource(t);
  const client = await open(t, { hosts: [address] });
  const headers = JSON.parse('{"__proto__": "x"}') as Record<string, string>;
  await client.append({ headers, body: "1" });
  await client.append({ headers: new Map([["__proto__", "y"]]), body: "2" });
  assert.deepEqual(events, [[[["__proto__", "x"]], "1"], [[["__proto__", "y"]], "2"]]); // prettier-ignore
});

test("several hosts fail over, and take turns when asked to", async (t) => {
  const [one, two] = [await startSource(t), await startSource(t)];
  const hosts = [one.address, two.address];
  const log = createCollectingLog();
  const balanced = await open(t, { hosts, strategy: "load_balance" });
  for (let i = 0; i < 4; i++) await balanced.append({ body: "" });
  assert.deepEqual([one.events.length, two.events.length], [2, 2]);
  const client = await open(t, { hosts, log, batchSize: 7, batchesInFlight: 2 });
  assert.equal(client.batchSize, 7);
  await client.append({ body: "" });
  assert.equal(one.events.length, 3);
  await one.stop();
  await client.append({ body: "" });
  assert.equal(two.events.length, 3);
  const failed = `${one.address} failed: RPC_CONNECT`;
  assert.ok(log.lines.some(({ message }) => message.startsWith(failed)));
});

test("a selector of one's own says whose turn it is", async (t) => {
  const [one, two] = [await startSource(t), await startSource(t)];
  const client = await open(t, {
    hosts: [one.address, two.address],
    strategy: "load_balance",
    createHostSelector: () => (all) => [...all].reverse(),
  });
  for (let i = 0; i < 3; i++) await client.append({ body: "" });
  assert.deepEqual([one.events.length, two.events.length], [0, 3]);
});

test("Flume's properties work as they are: an object, a map, a file", async (t) => {
  const { address, events } = await startSource(t);
  const given = { hosts: "h1", "hosts.h1": address, "batch-size": "5" };
  const file = join(await tempDirectory(t), "client.properties");
  await writeFile(file, `hosts=h1\nhosts.h1=${address}\nbatch-size=5\n`);
  for (const properties of [given, new Map(Object.entries(given)), file]) {
    const client = await open(t, properties);
    assert.equal(client.batchSize, 5);
    await client.append({ body: "x" });
  }
  assert.equal(events.length, 3);
});

test("what is wrong is said with the property it is about", async () => {
  const address = `127.0.0.1:${await freePort()}`;
  await assert.rejects(connect({ hosts: [address] }), { code: "RPC_CONNECT_FAILED" });
  await assert.rejects(connect({ hosts: [] }), { code: "CONFIG_INVALID", message: /^hosts: is/ });
  await assert.rejects(connect({ hosts: ["nowhere"], batchSize: 0 }), {
    code: "CONFIG_INVALID",
    message: 'batch-size: "0" is not a whole number, at least 1',
  });
  await assert.rejects(connect({ hosts: ["a:1"], tls: { keystoreKey: "key.pem" } }), {
    code: "CONFIG_INVALID",
    message: /^keystore: is required with keystore-key/,
  });
});

test("a client of several hosts says when none takes an event", async (t) => {
  const hosts = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const client = await open(t, { hosts });
  await assert.rejects(client.append({ body: "x" }), (error) => {
    assert.ok(error instanceof DeliveryError && error.code === "RPC_HOSTS_UNAVAILABLE");
    assert.deepEqual(error.settled, []);
    return true;
  });
});
