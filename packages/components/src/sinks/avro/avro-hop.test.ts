/** Both ends of a hop as an agent makes them: the sink here, the source beside it. */
import { EventBatch } from "@millrace/core";
import {
  optionsOf,
  sinkContext,
  sourceContext,
  tempDirectory,
  type TestStores,
  testTls,
  writeTestStores,
  writeTrustFiles,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { createAvroSource } from "../../sources/avro/avro-source.ts";
import { options as sourceOptions } from "../../sources/avro/options.ts";
import { createAvroSink } from "./avro-sink.ts";
import { options as sinkOptions } from "./options.ts";

const never = new AbortController().signal;

test("what the sink delivers the source's channels have, byte for byte (T097)", async (t) => {
  const received = sourceContext();
  const source = createAvroSource(
    optionsOf(sourceOptions, { bind: "127.0.0.1", port: "0" }),
    received,
  );
  await source.start(never);
  t.after(() => source.stop(AbortSignal.abort()));
  const sink = createAvroSink(
    optionsOf(sinkOptions, {
      hostname: "127.0.0.1",
      port: String(source.port),
      "batch-size": "1000",
    }),
    sinkContext(),
  );
  await sink.start(never);
  t.after(() => sink.stop(AbortSignal.abort()));
  const sent: EventBatch[] = [];
  for (let round = 0; round < 50; round++) {
    const batch = EventBatch.fromEvents(
      Array.from({ length: round * 20 }, (_, i) => ({
        headers: new Map([
          ["host", `h${i}`],
          ["__proto__", "x"],
          ["naïve", "ü"],
        ]),
        body: Buffer.alloc((i * 37) % 900, i),
      })),
    );
    await sink.deliver(batch, never);
    sent.push(batch);
  }
  const bytes = (batches: readonly EventBatch[]) =>
    Buffer.concat(batches.flatMap((batch) => batch.gather()));
  assert.equal(EventBatch.join(received.batches).length, 24_500);
  assert.ok(bytes(received.batches).equals(bytes(sent)));
});

type Properties = Readonly<Record<string, string>>;

interface End {
  readonly properties?: Properties;
  /** The `-D` words. */
  readonly system?: Properties;
}

async function hop(test: TestContext, source: End, sink: End) {
  const system = (given: Properties = {}) => new Map(Object.entries(given));
  const received = sourceContext({ systemProperties: system(source.system) });
  const made = createAvroSource(
    optionsOf(sourceOptions, { bind: "127.0.0.1", port: "0", ...source.properties }),
    received,
  );
  await made.start(never);
  test.after(() => made.stop(AbortSignal.abort()));
  const context = sinkContext({ systemProperties: system(sink.system) });
  const sender = createAvroSink(
    optionsOf(sinkOptions, {
      hostname: "127.0.0.1",
      port: String(made.port),
      "request-timeout": "2000",
      "connect-timeout": "2000",
      ...sink.properties,
    }),
    context,
  );
  test.after(() => sender.stop(AbortSignal.abort()));
  return { received, sender, context };
}

const some = EventBatch.fromEvents([
  { headers: new Map([["k", "v"]]), body: Buffer.from("arrived") },
]);

const keystore = ({ server, password }: TestStores): End => ({
  properties: { ssl: "true", keystore: server.jks, "keystore-password": password },
});
const deflate = { "compression-type": "deflate" };

for (const { name, source, sink } of [
  {
    name: "over TLS with trust-all-certs (T089)",
    source: keystore,
    sink: () => ({ properties: { ssl: "true", "trust-all-certs": "true" } }),
  },
  {
    name: "over TLS with a truststore of the component (T090)",
    source: keystore,
    sink: ({ trust, password }: TestStores) => ({
      properties: { ssl: "true", truststore: trust.jks, "truststore-password": password },
    }),
  },
  {
    name: "over TLS with a truststore without its password (T091)",
    source: keystore,
    sink: ({ trust }: TestStores) => ({ properties: { ssl: "true", truststore: trust.jks } }),
  },
  {
    name: "over TLS with the global truststore (T092)",
    source: keystore,
    sink: ({ trust, password }: TestStores) => ({
      properties: { ssl: "true" },
      system: {
        "javax.net.ssl.trustStore": trust.jks,
        "javax.net.ssl.trustStorePassword": password,
      },
    }),
  },
  {
    name: "over TLS with the global truststore without its password (T093)",
    source: keystore,
    sink: ({ trust }: TestStores) => ({
      properties: { ssl: "true" },
      system: { "javax.net.ssl.trustStore": trust.jks },
    }),
  },
  {
    name: "over TLS and deflate (T094)",
    source: (stores: TestStores) => ({
      properties: { ...keystore(stores).properties, ...deflate },
    }),
    sink: ({ trust }: TestStores) => ({
      properties: { ssl: "true", truststore: trust.jks, ...deflate },
    }),
  },
  ...["0", "1", "6", "9"].map((level, i) => ({
    name: `with deflate at level ${level} (T${"098 099 100 101".split(" ")[i]})`,
    source: () => ({ properties: deflate }),
    sink: () => ({ properties: { ...deflate, "compression-level": level } }),
  })),
]) {
  test(`what the sink sends ${name} the source's channels have`, async (t) => {
    const stores = await writeTestStores(await tempDirectory(t));
    const { received, sender } = await hop(t, source(stores), sink(stores));
    await sender.deliver(some, never);
    assert.equal(received.batches[0]?.at(0).body.toString(), "arrived");
  });
}

test("a TLS sink delivers nothing to a plain source, and counts it (T095)", async (t) => {
  const sink = { properties: { ssl: "true", "trust-all-certs": "true" } };
  const { received, sender, context } = await hop(t, {}, sink);
  await assert.rejects(sender.deliver(some, never), { code: "RPC_TLS_FAILED", answer: "retry" });
  assert.deepEqual(received.batches, []);
  assert.equal(context.metrics.value("millrace_sink_failures_total", { reason: "tls" }), 1);
});

test("a sink delivers nothing to a source whose certificate is not trusted (T096)", async (t) => {
  const directory = await tempDirectory(t);
  const stores = await writeTestStores(directory);
  const { jks } = await writeTrustFiles(directory, "stranger", [testTls().stranger]);
  const sink = { properties: { ssl: "true", truststore: jks } };
  const { received, sender } = await hop(t, keystore(stores), sink);
  await assert.rejects(sender.deliver(some, never), { code: "RPC_TLS_FAILED" });
  assert.deepEqual(received.batches, []);
});
