/** Certificates that change on disk while sources and sinks run, on all wires, with mutual TLS. */
import { systemClock } from "@millrace/core";
import {
  type ClientTls,
  createAvroClient,
  createAvroServer,
  type CreateEventClient,
  type EventServer,
  type EventServerOptions,
  type ServerTls,
} from "@millrace/rpc";
import { createGrpcClient, createGrpcServer } from "@millrace/rpc/grpc";
import { createThriftClient, createThriftServer } from "@millrace/rpc/thrift";
import {
  createFakeClock,
  createTestAuthority,
  numberedBatch,
  numbersOf,
  sinkContext,
  sourceContext,
  tempDirectory,
  type TestAuthority,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createRpcSink } from "./rpc-sink.ts";
import { createRpcSource } from "./rpc-source.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const checkMs = 3000;
const expiry = "millrace_tls_certificate_expiry_seconds";
const daySeconds = 86_400;

/** A Secret as kubelet mounts it: all files turn over at once when the link `..data` does. */
async function mountSecret(directory: string) {
  const names = ["tls.crt", "tls.key", "ca.crt"] as const;
  await mkdir(directory);
  let version = 0;
  const path = (name: (typeof names)[number]): string => join(directory, name);
  return {
    path,
    async put(contents: Readonly<Record<(typeof names)[number], string>>): Promise<void> {
      const folder = `..${++version}`;
      await mkdir(join(directory, folder));
      for (const name of names) await writeFile(join(directory, folder, name), contents[name]);
      await symlink(folder, join(directory, "..data_tmp"));
      await rename(join(directory, "..data_tmp"), join(directory, "..data"));
      if (version > 1) {
        await rm(join(directory, `..${version - 1}`), { recursive: true });
        return;
      }
      for (const name of names) await symlink(join("..data", name), path(name));
    },
  };
}

function secretOf(by: TestAuthority, believed: readonly TestAuthority[], days = 10) {
  const issued = by.issue({ commonName: "millrace", validToDays: days });
  return {
    "tls.crt": issued.chainPem,
    "tls.key": issued.keyPem,
    "ca.crt": believed.map(({ certificatePem }) => certificatePem).join(""),
  };
}

interface Wire {
  readonly name: string;
  readonly createServer: (options: EventServerOptions) => EventServer;
  readonly createClient: CreateEventClient;
}

async function start(t: TestContext, { createServer, createClient }: Wire) {
  const directory = await tempDirectory(t);
  const server = await mountSecret(join(directory, "server"));
  const client = await mountSecret(join(directory, "client"));
  const first = createTestAuthority("first");
  await server.put(secretOf(first, [first]));
  await client.put(secretOf(first, [first]));
  const clock = createFakeClock(systemClock.now());
  const common = {
    ...{ includeProtocols: [], excludeProtocols: [] },
    ...{ includeCipherSuites: [], excludeCipherSuites: [] },
  };
  const stores = ({ path }: typeof server) => ({
    keystore: { path: path("tls.crt"), keyPath: path("tls.key"), type: "PEM" as const },
    truststore: { path: path("ca.crt"), type: "PEM" as const },
  });
  const serverTls: ServerTls = { ...common, ...stores(server), clientAuth: "required" };
  const clientTls: ClientTls = { ...common, ...stores(client), trustAll: false, verifyHostName: true }; // prettier-ignore
  const runtime = { ...sourceContext().runtime, clock };
  const sourceSide = sourceContext({ runtime });
  const source = createRpcSource(
    {
      ...{ bind: "127.0.0.1", port: 0, maxConnections: 10, maxFrameBytes: 1 << 20 },
      ...{ requestsInFlight: 4, idleTimeoutMs: 0, messageTimeoutMs: 60_000 },
      transport: { compression: "none", tls: serverTls },
    },
    sourceSide,
    createServer,
  );
  await source.start(never);
  t.after(() => source.stop(now));
  const makeSink = () => {
    const context = sinkContext({ runtime });
    const sink = createRpcSink(
      {
        ...{ hostname: "127.0.0.1", port: source.port, batchSize: 10 },
        ...{ connectTimeoutMs: 20_000, requestTimeoutMs: 20_000 },
        ...{ resetConnectionIntervalSeconds: 0, maxFrameBytes: 1 << 20 },
        transport: { compression: "none", compressionLevel: 6, outermost: "deflate", tls: clientTls }, // prettier-ignore
      },
      context,
      createClient,
    );
    t.after(() => sink.stop(now));
    return { sink, context };
  };
  let sent = 0;
  /** One batch over a connection of its own. */
  const freshly = async (): Promise<void> => {
    const { sink } = makeSink();
    await sink.start(never);
    await sink.deliver(numberedBatch(++sent, sent), never);
    await sink.stop(now);
  };
  const received = () => sourceSide.batches.flatMap((batch) => numbersOf(batch));
  return { clock, first, server, client, source: sourceSide, makeSink, freshly, received };
}

const wires: readonly Wire[] = [
  { name: "avro", createServer: createAvroServer, createClient: createAvroClient },
  {
    name: "thrift",
    createServer: (options) => createThriftServer({ ...options, protocol: "compact" }),
    createClient: (options) => createThriftClient({ ...options, protocol: "compact" }),
  },
  { name: "grpc", createServer: createGrpcServer, createClient: createGrpcClient },
];

for (const wire of wires) {
  test(`${wire.name}: an authority is rotated, old and new together first, and no connection is missed`, async (t) => {
    const { clock, first, server, client, source, makeSink, freshly, received } = await start(t, wire); // prettier-ignore
    const { sink, context } = makeSink();
    await sink.start(never);
    await sink.deliver(numberedBatch(100, 100), never);
    const second = createTestAuthority("second");
    const days = (metrics: typeof source.metrics, use: string): number =>
      Math.round((metrics.value(expiry, { use }) ?? NaN) / daySeconds);
    const both = [first, second];
    for (const { what, puts, serverDays } of [
      { what: "both believed", puts: [server.put(secretOf(first, both)), client.put(secretOf(first, both))], serverDays: 10 }, // prettier-ignore
      { what: "a server of the new", puts: [], serverDays: 20 },
      { what: "a client of the new", puts: [], serverDays: 20 },
      { what: "the old gone", puts: [], serverDays: 30 },
    ]) {
      await Promise.all(puts);
      if (what === "a server of the new") await server.put(secretOf(second, both, 20));
      if (what === "a client of the new") await client.put(secretOf(second, both, 20));
      if (what === "the old gone") {
        await server.put(secretOf(second, [second], 30));
        await client.put(secretOf(second, [second], 30));
      }
      await clock.advance(checkMs);
      await freshly();
      await waitFor(what, () => days(source.metrics, "server") === serverDays);
      await sink.deliver(numberedBatch(101, 101), never);
    }
    assert.deepEqual(received().length, 9);
    assert.equal(context.counters.ConnectionCreatedCount, 1, "the first connection went on");
    assert.equal(days(context.metrics, "client"), 30);
    assert.equal(days(context.metrics, "ca"), 365);
    assert.equal(days(source.metrics, "ca"), 365);
    await client.put(secretOf(first, [second]));
    await clock.advance(checkMs);
    await assert.rejects(
      freshly(),
      /RPC_|certificate|connection|TLS/i,
      "the old is believed no more",
    );
    assert.equal(source.metrics.value("millrace_tls_reload_failures_total"), 0);
  });

  test(`${wire.name}: files that do not belong together keep what was there, said once and counted`, async (t) => {
    const { clock, first, server, client, source, freshly, received, makeSink } = await start(t, wire); // prettier-ignore
    await freshly();
    const [good, other] = [secretOf(first, [first], 20), secretOf(first, [first], 20)];
    const torn = { ...good, "tls.crt": good["tls.crt"].slice(0, 200) };
    const { sink, context } = makeSink();
    await sink.start(never);
    await sink.deliver(numberedBatch(50, 50), never);
    for (const [index, bad] of [{ ...good, "tls.key": other["tls.key"] }, torn].entries()) {
      await Promise.all([server.put(bad), client.put(bad)]);
      for (let i = 0; i < 2; i++) {
        await clock.advance(checkMs);
        await freshly();
      }
      assert.equal(source.metrics.value("millrace_tls_reload_failures_total"), index + 1);
    }
    const errors = source.log.lines.filter(({ level }) => level === "error");
    assert.equal(errors.length, 2);
    assert.match(errors[0]?.message ?? "", /the server's certificate has changed and cannot be used, the old one stays: .*no certificate of its private key/); // prettier-ignore
    assert.ok((source.metrics.value(expiry, { use: "server" }) ?? 0) < 11 * daySeconds);
    await Promise.all([server.put(good), client.put(good)]);
    await clock.advance(checkMs);
    await freshly();
    await waitFor("the good one", () => (source.metrics.value(expiry, { use: "server" }) ?? 0) > 19 * daySeconds); // prettier-ignore
    await waitFor("the client's", () => (context.metrics.value(expiry, { use: "client" }) ?? 0) > 19 * daySeconds); // prettier-ignore
    assert.equal(received().length, 7);
  });
}
