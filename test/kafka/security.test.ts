/** A broker that asks for TLS with the client's own certificate, and for a user and a password. */
import {
  freePort,
  numberedBatch,
  numbersOf,
  tempDirectory,
  waitFor,
  writeTestStores,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { put, startChannel, takeEvents } from "./harness/channels.ts";
import { startCluster } from "./harness/kafka-cluster.ts";

const plainModule = "org.apache.kafka.common.security.plain.PlainLoginModule";

void test("events go through a broker with TLS and SASL, with stores of Java", async (t) => {
  const { server, client, trust, password } = await writeTestStores(await tempDirectory(t));
  const port = await freePort();
  const listener = "listener.name.secure";
  const cluster = await startCluster(t, {
    secure: {
      port,
      properties: {
        [`${listener}.ssl.keystore.location`]: server.jks,
        [`${listener}.ssl.keystore.password`]: password,
        [`${listener}.ssl.key.password`]: password,
        [`${listener}.ssl.truststore.location`]: trust.jks,
        [`${listener}.ssl.truststore.password`]: password,
        [`${listener}.ssl.client.auth`]: "required",
        [`${listener}.sasl.enabled.mechanisms`]: "PLAIN",
        [`${listener}.plain.sasl.jaas.config`]: `${plainModule} required user_alice="secret";`,
      },
    },
  });
  if (cluster === undefined) return;
  const security = (word: string): Record<string, string> => {
    const properties: Record<string, string> = {
      "security.protocol": "SASL_SSL",
      "sasl.mechanism": "PLAIN",
      "sasl.jaas.config": `${plainModule} required username="alice" password="${word}";`,
      "ssl.truststore.location": trust.jks,
      "ssl.truststore.password": password,
      "ssl.keystore.location": client.jks,
      "ssl.keystore.password": password,
    };
    const sides = Object.entries(properties).flatMap(([key, value]) => [
      [`kafka.producer.${key}`, value],
      [`kafka.consumer.${key}`, value],
    ]);
    return Object.fromEntries(sides) as Record<string, string>;
  };
  const common = { "kafka.bootstrap.servers": `localhost:${port}`, "kafka.topic": "secret" };
  const { channel } = await startChannel(t, { ...common, ...security("secret") });
  await put(channel, numberedBatch(1, 20));
  assert.deepEqual(numbersOf(await takeEvents(channel, 20)).at(-1), 20);

  const wrong = await startChannel(t, { ...common, ...security("wrong") });
  await waitFor("the refusal", () => wrong.channel.trouble !== undefined, 30_000);
  assert.equal(wrong.channel.trouble?.code, "KAFKA_REFUSED");
  assert.match(wrong.channel.trouble.message, /Authentication failed/i);
});
