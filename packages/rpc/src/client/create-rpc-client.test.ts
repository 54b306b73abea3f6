import { MillraceError } from "@millrace/core";
import { createCollectingLog, freePort, tempDirectory, waitFor, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createRpcClient, type RpcClientSettings } from "./create-rpc-client.ts";
import type { ClientProperties } from "./read-client-properties.ts";
import type { RpcClient } from "./rpc-client.ts";
import { hostProperties, startSource } from "./test-sources.test.ts";

async function open(
  test: TestContext,
  properties: ClientProperties,
  settings: RpcClientSettings = {},
): Promise<RpcClient> {
  const client = await createRpcClient(properties, settings);
  test.after(() => client.close(AbortSignal.abort()));
  return client;
}

const event = (body: string) => ({ body });
const list = (count: number) => Array.from({ length: count }, (_, i) => event(String(i)));

test("one event and a batch arrive, with Flume's default batch size (T102, T107, T140, T141)", async (t) => {
  const source = await startSource(t);
  const client = await open(t, hostProperties([source]));
  assert.deepEqual([client.batchSize, client.isActive], [100, true]);
  await client.append(event("one"));
  await client.appendBatch(list(3));
  assert.deepEqual(source.requests.map(({ bodies }) => bodies), [["one"], ["0", "1", "2"]]); // prettier-ignore
  await client.appendBatch([]);
  assert.equal(source.asked, 2, "nothing is sent for nothing");
});

test("batch-size is as given, and a list of that size is one request (T142, T143, T144)", async (t) => {
  const source = await startSource(t);
  const client = await open(t, { ...hostProperties([source]), "batch-size": 3 });
  assert.equal(client.batchSize, 3);
  await client.appendBatch(list(3));
  assert.equal(source.asked, 1);
});

test("a list over batch-size is sent in several requests, in order (T113, T145)", async (t) => {
  const source = await startSource(t);
  const client = await open(t, hostProperties([source]));
  await client.appendBatch(list(250));
  assert.deepEqual(source.requests.map(({ bodies }) => bodies.length), [100, 100, 50]); // prettier-ignore
  assert.deepEqual(source.bodies, list(250).map(({ body }) => body)); // prettier-ignore
});

test("with nothing listening a client of one host is not made: RPC_CONNECT_FAILED (T112)", async () => {
  const address = `127.0.0.1:${await freePort()}`;
  await assert.rejects(createRpcClient({ hosts: "h1", "hosts.h1": address }), {
    code: "RPC_CONNECT_FAILED",
    message: new RegExp(address),
  });
});

for (const { answer, code, rows } of [
  { answer: "FAILED", code: "RPC_STATUS_FAILED", rows: "T116, T119" },
  { answer: "throws", code: "RPC_STATUS_FAILED", rows: "T121" },
] as const) {
  test(`a source that ${answer === "FAILED" ? "answers FAILED" : answer} is ${code}, the client inactive, and the next call connects again (${rows})`, async (t) => {
    const source = await startSource(t, answer);
    const client = await open(t, hostProperties([source]));
    if (answer === "FAILED") await assert.rejects(client.append(event("a")), { code });
    await assert.rejects(client.appendBatch(list(2)), { code });
    assert.equal(client.isActive, false);
    source.answer = "OK";
    await client.appendBatch(list(2));
    assert.deepEqual([client.isActive, source.bodies], [true, ["0", "1"]]);
  });
}

test("a source that throws at append answers a system error: RPC_SYSTEM_ERROR (T118)", async (t) => {
  const client = await open(t, hostProperties([await startSource(t, "throws")]));
  await assert.rejects(client.append(event("a")), { code: "RPC_SYSTEM_ERROR" });
  assert.equal(client.isActive, false);
});

test("when the source has gone, appending fails and the client is inactive until it is back (T114)", async (t) => {
  const source = await startSource(t);
  const client = await open(t, hostProperties([source]));
  await client.append(event("a"));
  await source.stop();
  await assert.rejects(client.append(event("b")), (error) => {
    assert.ok(error instanceof MillraceError);
    assert.ok(["RPC_CONNECTION_LOST", "RPC_CONNECT_FAILED"].includes(error.code), error.code);
    return true;
  });
  assert.equal(client.isActive, false);
  await source.restart();
  await client.append(event("b"));
  assert.deepEqual([client.isActive, source.bodies], [true, ["a", "b"]]);
});

test("a closed client is inactive, and RPC_CLIENT_CLOSED is thrown; closing twice is fine (T115)", async (t) => {
  const source = await startSource(t);
  const client = await open(t, hostProperties([source]));
  await Promise.all([client.close(), client.close()]);
  assert.equal(client.isActive, false);
  await assert.rejects(client.append(event("a")), { code: "RPC_CLIENT_CLOSED" });
  await assert.rejects(client.appendBatch(list(1)), { code: "RPC_CLIENT_CLOSED" });
  assert.equal(source.asked, 0);
});

test("close waits for calls under way, and cuts them at its deadline", async (t) => {
  const source = await startSource(t);
  const client = await open(t, hostProperties([source]));
  const calls = Promise.all([client.appendBatch(list(150)), client.append(event("last"))]);
  await client.close();
  await calls;
  assert.equal(source.bodies.length, 151);
  const hung = await open(t, hostProperties([await startSource(t, "nothing")]));
  const call = assert.rejects(hung.append(event("a")), { code: "RPC_CONNECTION_LOST" });
  await hung.close(AbortSignal.abort());
  await call;
});

test("whoever waits for answers may close once more, with a deadline that cuts them", async (t) => {
  const source = await startSource(t, "nothing");
  const client = await open(t, hostProperties([source]));
  const call = assert.rejects(client.append(event("a")), { code: "RPC_CONNECTION_LOST" });
  await waitFor("the request", () => source.asked === 1);
  const patient = client.close();
  await within("the second close", client.close(AbortSignal.abort()));
  await within("the first close", patient);
  await call;
});

test("many clients that are made and closed at one time draw no warning of listeners that leak", async (t) => {
  const source = await startSource(t, "nothing");
  const warnings: string[] = [];
  const warned = ({ message }: Error) => void warnings.push(message);
  process.on("warning", warned);
  t.after(() => process.off("warning", warned));
  const clients = await Promise.all(
    Array.from({ length: 12 }, () => open(t, hostProperties([source]))),
  );
  const calls = clients.map((client) => assert.rejects(client.append(event("a"))));
  await waitFor("the requests", () => source.asked === 12);
  const closed = Promise.all(clients.map((client) => client.close()));
  for (const client of clients) await client.close(AbortSignal.abort());
  await Promise.all([closed, ...calls]);
  // A warning is emitted in the next turn.
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(warnings, []);
});

test("maxIoWorkers has no effect, and is said to have none (T122)", async (t) => {
  const source = await startSource(t);
  const log = createCollectingLog();
  const client = await open(t, { ...hostProperties([source]), maxIoWorkers: "2" }, { log });
  await client.append(event("a"));
  assert.match(log.lines[0]?.message ?? "", /^maxIoWorkers has no effect: /);
});

test("properties come from a file, a map or an object; of a repeated key the last counts", async (t) => {
  const source = await startSource(t);
  const path = join(await tempDirectory(t), "client.properties");
  await writeFile(
    path,
    `# a client\nhosts = h1\nhosts.h1 = ${source.address}\nbatch-size = 7\nbatch-size=8\n`,
  );
  for (const properties of [
    path,
    new Map(Object.entries({ ...hostProperties([source]), "batch-size": "8" })),
    { ...hostProperties([source]), "batch-size": 8, backoff: false },
  ]) {
    const client = await open(t, properties);
    assert.equal(client.batchSize, 8);
    await client.append(event("x"));
  }
  assert.deepEqual(source.bodies, ["x", "x", "x"]);
});

test("a file that is missing is READ_FAILED; one that is no properties CONFIG_INVALID, at its line", async (t) => {
  const directory = await tempDirectory(t);
  const path = join(directory, "client.properties");
  await assert.rejects(createRpcClient(path), {
    code: "READ_FAILED",
    message: `${path}: there is no such file`,
  });
  await writeFile(path, "hosts=h1\nhosts.h1=\\u00zz\n");
  await assert.rejects(createRpcClient(path), { code: "CONFIG_INVALID", message: /:2: \\u must/ });
});

for (const { given, says } of [
  {
    given: {},
    says: "hosts: is required, such as hosts = h1 and hosts.h1 = collector.example:4141",
  },
  { given: { hosts: "a b" }, says: /^hosts\.a: is required, / },
  { given: { hosts: "a", "hosts.a": "a:b:c" }, says: /^hosts\.a: "a:b:c" is not the address/ },
  {
    given: {
      hosts: "a",
      "hosts.a": "a:1",
      "client.type": "org.apache.flume.api.LoadBalancingRpcClient",
    },
    says: "hosts: default_loadbalance takes two hosts or more, or an address that is looked up",
  },
  {
    given: { hosts: "a", "hosts.a": "a:1", "batch-size": "0", "connect-timeout": "10" },
    says: 'batch-size: "0" is not a whole number, at least 1\nconnect-timeout: "10" is not a whole number, at least 1000',
  },
  {
    given: { hosts: "a", "hosts.a": "a:1", kerberos: "true", "client.type": "thrift" },
    says: "kerberos: Kerberos is not spoken here: use TLS with client certificates.",
  },
  {
    given: { hosts: "a", "hosts.a": "a:1", "client.type": "com.acme.Mine" },
    says: /^client\.type: "com\.acme\.Mine" is not .*Java class cannot be loaded$/,
  },
  {
    given: { hosts: "a b", "hosts.a": "a:1", "hosts.b": "b:1", "client.type": "default_loadbalance", "host-selector": "com.acme.Sel" }, // prettier-ignore
    says: "host-selector com.acme.Sel: a Java class cannot be loaded; port it",
  },
] as { given: Record<string, string>; says: string | RegExp }[]) {
  const row = "client.type" in given && Object.keys(given).length === 3 ? " (T125)" : "";
  test(`properties ${JSON.stringify(given)} are CONFIG_INVALID${row}`, async () => {
    await assert.rejects(createRpcClient(given), { code: "CONFIG_INVALID", message: says });
  });
}

test("slips that Flume keeps quiet about are said and no reason to fail", async (t) => {
  const source = await startSource(t);
  const log = createCollectingLog();
  const given = { ...hostProperties([source]), hosts: "h1 gone", "hosts.other": "x:1", bath: "1" };
  await open(t, given, { log });
  assert.deepEqual(
    log.lines.filter(({ level }) => level === "warn").map(({ message }) => message),
    [
      "bath is not a property of RPC clients",
      "hosts.gone is not given; gone is left out",
      "hosts.other is not in hosts; it is not used",
    ],
  );
});

test("the default client uses the first of several hosts, as in Flume, and says so", async (t) => {
  const sources = [await startSource(t), await startSource(t)] as const;
  const log = createCollectingLog();
  const client = await open(t, hostProperties(sources), { log });
  await client.append(event("a"));
  await sources[0].stop();
  await assert.rejects(client.append(event("b")));
  assert.deepEqual(sources[1].bodies, []);
  assert.match(log.lines[0]?.message ?? "", /default uses the first of 2 hosts/);
});
