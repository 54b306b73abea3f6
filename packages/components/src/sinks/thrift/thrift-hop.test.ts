/** Both ends of a hop as an agent makes them: the sink here, the source beside it. */
import { EventBatch } from "@millrace/core";
import {
  tempDirectory,
  optionsOf,
  sinkContext,
  sourceContext,
  type TestStores,
  testTls,
  writeTestStores,
  writeTrustFiles,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { options as sourceOptions } from "../../sources/thrift/options.ts";
import { createThriftSource } from "../../sources/thrift/thrift-source.ts";
import { options as sinkOptions } from "./options.ts";
import { createThriftSink } from "./thrift-sink.ts";

const never = new AbortController().signal;
type Properties = Record<string, string>;

interface End {
  readonly properties?: Properties;
  /** The `-D` words. */
  readonly system?: Properties;
}

async function hop(test: TestContext, source: End, sink: End) {
  const system = (given: Properties = {}) => new Map(Object.entries(given));
  const received = sourceContext({ systemProperties: system(source.system) });
  const made = createThriftSource(
    optionsOf(sourceOptions, { bind: "127.0.0.1", port: "0", ...source.properties }),
    received,
  );
  await made.start(never);
  test.after(() => made.stop(AbortSignal.abort()));
  const sender = createThriftSink(
    optionsOf(sinkOptions, {
      hostname: "127.0.0.1",
      port: String(made.port),
      "batch-size": "1000",
      "request-timeout": "2000",
      "connect-timeout": "2000",
      ...sink.properties,
    }),
    sinkContext({ systemProperties: system(sink.system) }),
  );
  test.after(() => sender.stop(AbortSignal.abort()));
  return { received, sender };
}

const some = EventBatch.fromEvents([
  { headers: new Map([["k", "v"]]), body: Buffer.from("over TLS") },
]);

for (const protocol of ["compact", "binary"]) {
  test(`${protocol}: what the sink delivers the source's channels have, byte for byte`, async (t) => {
    const end = { properties: { protocol } };
    const { received, sender } = await hop(t, end, end);
    await sender.start(never);
    const sent: EventBatch[] = [];
    for (let round = 0; round < 30; round++) {
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
      await sender.deliver(batch, never);
      sent.push(batch);
    }
    const bytes = (batches: readonly EventBatch[]) =>
      Buffer.concat(batches.flatMap((batch) => batch.gather()));
    assert.equal(EventBatch.join(received.batches).length, 8700);
    assert.ok(bytes(received.batches).equals(bytes(sent)));
  });
}

const keystore = ({ server, password }: TestStores): Properties => ({
  ssl: "true",
  keystore: server.jks,
  "keystore-password": password,
});
const globalKeystore = ({ server, password }: TestStores): Properties => ({
  "javax.net.ssl.keyStore": server.jks,
  "javax.net.ssl.keyStorePassword": password,
});
const truststore = ({ trust, password }: TestStores): Properties => ({
  ssl: "true",
  truststore: trust.jks,
  "truststore-password": password,
});

for (const { name, source, sink } of [
  {
    name: "the component's keystore and truststore (T167, T177)",
    source: (stores: TestStores) => ({ properties: keystore(stores) }),
    sink: (stores: TestStores) => ({ properties: truststore(stores) }),
  },
  {
    name: "a truststore without its password (T178)",
    source: (stores: TestStores) => ({ properties: keystore(stores) }),
    sink: ({ trust }: TestStores) => ({ properties: { ssl: "true", truststore: trust.jks } }),
  },
  {
    name: "the global keystore and truststore (T168, T179)",
    source: (stores: TestStores) => ({
      properties: { ssl: "true" },
      system: globalKeystore(stores),
    }),
    sink: ({ trust, password }: TestStores) => ({
      properties: { ssl: "true" },
      system: {
        "javax.net.ssl.trustStore": trust.jks,
        "javax.net.ssl.trustStorePassword": password,
      },
    }),
  },
  {
    name: "the global truststore without its password (T180)",
    source: (stores: TestStores) => ({ properties: keystore(stores) }),
    sink: ({ trust }: TestStores) => ({
      properties: { ssl: "true" },
      system: { "javax.net.ssl.trustStore": trust.jks },
    }),
  },
]) {
  test(`a hop over TLS delivers, with ${name}`, async (t) => {
    const stores = await writeTestStores(await tempDirectory(t));
    const { received, sender } = await hop(t, source(stores), sink(stores));
    await sender.deliver(some, never);
    assert.equal(received.batches[0]?.at(0).body.toString(), "over TLS");
  });
}

test("a sink with TLS fails at a source without it (T181)", async (t) => {
  const stores = await writeTestStores(await tempDirectory(t));
  const { received, sender } = await hop(t, {}, { properties: truststore(stores) });
  await assert.rejects(sender.deliver(some, never), { answer: "retry" });
  assert.equal(received.batches.length, 0);
});

test("a sink fails at a source whose certificate it has no reason to trust (T182)", async (t) => {
  const directory = await tempDirectory(t);
  const stores = await writeTestStores(directory);
  const other = await writeTrustFiles(directory, "other", [testTls().stranger]);
  const { received, sender } = await hop(
    t,
    { properties: keystore(stores) },
    { properties: { ssl: "true", truststore: other.pem, "truststore-type": "PEM" } },
  );
  await assert.rejects(sender.deliver(some, never), { code: "RPC_TLS_FAILED" });
  assert.equal(received.batches.length, 0);
});

test("a sink without TLS fails at a source with it", async (t) => {
  const stores = await writeTestStores(await tempDirectory(t));
  const { received, sender } = await hop(t, { properties: keystore(stores) }, {});
  await assert.rejects(sender.deliver(some, never), { answer: "retry" });
  assert.equal(received.batches.length, 0);
});
