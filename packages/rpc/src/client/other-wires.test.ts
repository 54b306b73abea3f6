/** Clients over Thrift and gRPC, and of hosts that are looked up, from properties alone. */
import { silentLog, systemClock } from "@millrace/core";
import { createDnsServer, tempDirectory, writeTestStores } from "@millrace/testing";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { createAvroServer } from "../avro/server.ts";
import { createGrpcServer } from "../grpc/server.ts";
import { createThriftServer } from "../thrift/server.ts";
import type { EventServer, EventServerOptions } from "../wire/event-server.ts";
import { createRpcClient } from "./create-rpc-client.ts";
import { startSource } from "./test-sources.test.ts";

const never = new AbortController().signal;

async function listening(test: TestContext, create: (options: EventServerOptions) => EventServer) {
  const peers = new Set<string>();
  const bodies: string[] = [];
  const server = create({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log: silentLog,
    async handler(batch, { peer }) {
      peers.add(peer);
      // Long enough for other calls to come meanwhile.
      await new Promise((resolve) => setImmediate(resolve));
      bodies.push(...[...batch].map(({ body }) => body.toString()));
      return "OK";
    },
  });
  await server.start(never);
  test.after(() => server.stop(AbortSignal.abort()));
  return { address: `127.0.0.1:${server.port}`, bodies, peers };
}

const thrift = (protocol: "compact" | "binary") => (options: EventServerOptions) =>
  createThriftServer({ ...options, protocol });

for (const { type, properties, create } of [
  { type: "thrift", properties: {}, create: thrift("compact") },
  { type: "org.apache.flume.api.ThriftRpcClient", properties: { protocol: "binary" }, create: thrift("binary") }, // prettier-ignore
  { type: "grpc", properties: {}, create: createGrpcServer },
]) {
  test(`client.type ${type} ${JSON.stringify(properties)} sends one event and lists, in order`, async (t) => {
    const source = await listening(t, create);
    const client = await createRpcClient({
      hosts: "h1",
      "hosts.h1": source.address,
      "client.type": type,
      "batch-size": 10,
      ...properties,
    });
    t.after(() => client.close(AbortSignal.abort()));
    await client.append({ body: "first", headers: { __proto__x: "y" } });
    await client.appendBatch(Array.from({ length: 28 }, (_, i) => ({ body: String(i) })));
    assert.deepEqual(source.bodies, ["first", ...Array.from({ length: 28 }, (_, i) => String(i))]);
  });
}

test("a thrift client spreads calls at one time over up to maxConnections connections (T151)", async (t) => {
  const source = await listening(t, thrift("compact"));
  const client = await createRpcClient({
    hosts: "h1",
    "hosts.h1": source.address,
    "client.type": "thrift",
    maxConnections: 3,
  });
  t.after(() => client.close(AbortSignal.abort()));
  const bodies = Array.from({ length: 60 }, (_, i) => String(i));
  await Promise.all(bodies.map((body) => client.append({ body })));
  assert.deepEqual([...source.bodies].sort(), [...bodies].sort());
  assert.equal(source.peers.size, 3);
});

test("TLS and deflate are as the properties say, and the truststore may be the one set for all", async (t) => {
  const { password, server, trust } = await writeTestStores(await tempDirectory(t));
  const source = await listening(t, (options) =>
    createAvroServer({
      ...options,
      transport: {
        compression: "deflate",
        tls: {
          ...{ includeProtocols: [], excludeProtocols: [] },
          ...{ includeCipherSuites: [], excludeCipherSuites: [] },
          keystore: { path: server.jks, type: "JKS", password },
          clientAuth: "none",
        },
      },
    }),
  );
  const given = { hosts: "h1", "hosts.h1": source.address, ssl: "true", "compression-type": "deflate" }; // prettier-ignore
  const systemProperties = new Map([["javax.net.ssl.trustStore", trust.jks]]);
  for (const [properties, settings] of [
    [{ ...given, truststore: trust.jks, "truststore-password": password }, {}],
    [given, { systemProperties }],
  ] as const) {
    const client = await createRpcClient(properties, settings);
    await client.append({ body: "x" });
    await client.close();
  }
  assert.deepEqual(source.bodies, ["x", "x"]);
  await assert.rejects(createRpcClient(given), { code: "RPC_TLS_FAILED" });
});

test("a host that is looked up is several, of which one has all until it fails", async (t) => {
  const sources = [await startSource(t), await startSource(t)] as const;
  const names = await createDnsServer();
  t.after(() => names.close());
  names.set("_flume._tcp.test", {
    srv: sources.map(({ port }, i) => ({ name: `c${i}.test`, port, priority: i, weight: 1 })),
  });
  for (const i of [0, 1]) names.set(`c${i}.test`, { addresses: ["127.0.0.1"] });
  const client = await createRpcClient({
    hosts: "h1",
    "hosts.h1": `dns+srv://_flume._tcp.test?server=${names.address}`,
  });
  t.after(() => client.close(AbortSignal.abort()));
  await client.append({ body: "a" });
  await client.append({ body: "b" });
  await sources[0].stop();
  await client.append({ body: "c" });
  assert.deepEqual([sources[0].bodies, sources[1].bodies], [["a", "b"], ["c"]]); // prettier-ignore
});
