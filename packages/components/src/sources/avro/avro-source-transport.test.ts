import { EventBatch, systemClock } from "@millrace/core";
import { createAvroClient, tlsFailureReasons } from "@millrace/rpc";
import {
  createCollectingLog,
  optionsOf,
  sourceContext,
  tempDirectory,
  waitFor,
  writeTestStores,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { clientCompressionOptions, clientTlsOptions, clientTransport } from "../../rpc/client-transport-options.ts"; // prettier-ignore
import { createAvroSource } from "./avro-source.ts";
import { checkOptions, options } from "./options.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const clientOptions = { ...clientTlsOptions, ...clientCompressionOptions };
const one = EventBatch.fromEvents([{ body: Buffer.from("a") }]);

async function started(
  t: TestContext,
  properties: Record<string, string>,
  global: Record<string, string> = {},
) {
  const systemProperties = new Map(Object.entries(global));
  const context = sourceContext({ systemProperties });
  const values = optionsOf(options, { bind: "127.0.0.1", port: "0", ...properties });
  assert.deepEqual(checkOptions(values, systemProperties), []);
  const source = createAvroSource(values, context);
  await source.start(never);
  t.after(() => source.stop(now));
  const client = (given: Record<string, string>, ofClient = global) => {
    const made = createAvroClient({
      ...{ host: "127.0.0.1", port: source.port, connectTimeoutMs: 5000, requestTimeoutMs: 5000 },
      ...{ maxFrameBytes: 1 << 20, clock: systemClock, log: createCollectingLog() },
      transport: clientTransport(optionsOf(clientOptions, given), new Map(Object.entries(ofClient))), // prettier-ignore
    });
    t.after(() => made.close());
    return made;
  };
  return { context, client, stores: await writeTestStores(await tempDirectory(t)) };
}

async function globalStores(t: TestContext) {
  const { server, trust, password } = await writeTestStores(await tempDirectory(t));
  return {
    "javax.net.ssl.keyStore": server.jks,
    "javax.net.ssl.keyStorePassword": password,
    "javax.net.ssl.trustStore": trust.jks,
    "javax.net.ssl.trustStorePassword": password,
  };
}

test("a global keystore and a global truststore serve a hop (T078, T092)", async (t) => {
  const global = await globalStores(t);
  const { client, context } = await started(t, { ssl: "true" }, global);
  const sender = client({ ssl: "true" });
  await sender.connect();
  await sender.appendBatch(one);
  assert.equal(context.batches.length, 1);
});

test("a global truststore needs no password (T093)", async (t) => {
  const { "javax.net.ssl.trustStorePassword": _, ...global } = await globalStores(t);
  const { client, context } = await started(t, { ssl: "true" }, global);
  const sender = client({ ssl: "true" });
  await sender.connect();
  await sender.appendBatch(one);
  assert.equal(context.batches.length, 1);
});

test("the source counts what goes wrong with TLS by reason, and every reason from the start", async (t) => {
  const global = await globalStores(t);
  const { client, context } = await started(t, { ssl: "true" }, global);
  const failures = (reason: string) =>
    context.metrics.value("millrace_source_tls_failures_total", { reason });
  for (const reason of tlsFailureReasons) assert.equal(failures(reason), 0, reason);
  const plain = client({});
  await plain.connect();
  await assert.rejects(plain.appendBatch(one), { code: "RPC_CONNECTION_LOST" });
  await waitFor("the count", () => failures("not_tls") === 1);
  assert.equal(context.counters.EventReadFail, 0);
});

test("compression that does not match is counted as what cannot be read", async (t) => {
  const { client, context } = await started(t, { "compression-type": "deflate" });
  const plain = client({});
  await plain.connect();
  await assert.rejects(plain.appendBatch(one), { code: "RPC_CONNECTION_LOST" });
  await waitFor("the count", () => context.counters.EventReadFail === 1);
  assert.equal(context.metrics.value("millrace_source_malformed_requests_total"), 1);
  const deflating = client({ "compression-type": "DEFLATE" });
  await deflating.connect();
  await deflating.append(one);
  assert.equal(context.batches.length, 1);
});

test("the source counts whom ipFilterRules refuse", async (t) => {
  const rules = { ipFilter: "true", ipFilterRules: "deny:ip:127.*" };
  const { client, context } = await started(t, rules);
  const refused = () =>
    context.metrics.value("millrace_source_refused_connections_total", { reason: "ipFilter" });
  assert.equal(refused(), 0);
  const sender = client({});
  await assert.rejects(sender.connect().then(() => sender.append(one)));
  await waitFor("the count", () => refused() === 1);
  assert.equal(context.counters.OpenConnectionCount, 0);
});

test("a keystore that cannot be read keeps the source from starting, with TLS_STORE_INVALID", async () => {
  const values = optionsOf(options, { bind: "127.0.0.1", port: "0", ssl: "true", keystore: "/none" }); // prettier-ignore
  const source = createAvroSource(values, sourceContext());
  await assert.rejects(source.start(never), { code: "TLS_STORE_INVALID" });
  await source.stop(now);
});
