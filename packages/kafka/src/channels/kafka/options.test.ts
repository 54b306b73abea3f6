import { optionsOf } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { channel as definition } from "./index.ts";
import { options, settingsOf } from "./options.ts";

const brokers = { "kafka.bootstrap.servers": "b1:9092, b2:9093" };
const settings = (given: Record<string, string>) =>
  settingsOf(optionsOf(options, { ...brokers, ...given }));
const problems = (given: Record<string, string>) =>
  definition.check?.(optionsOf(options, given))?.map(({ key, message }) => `${key} ${message}`) ??
  [];
const notes = (given: Record<string, string>) =>
  definition.notes?.(optionsOf(options, { ...brokers, ...given }), []).map(({ key }) => key);

void test("defaults are Flume's and Kafka's (T810)", () => {
  const { brokers: servers, topic, groupId, producer, consumer } = settings({});
  assert.deepEqual([servers, topic, groupId], [["b1:9092", "b2:9093"], "flume-channel", "flume"]);
  assert.equal(producer.settings.acks, -1);
  assert.equal(consumer.settings.startsAt, "earliest");
  assert.equal(consumer.settings.assignment, "range");
  assert.equal(consumer.settings.readsUncommitted, true);
  assert.deepEqual([producer.problems, producer.notes], [[], []]);
  assert.deepEqual([consumer.problems, consumer.notes], [[], []]);
  const { pollTimeoutMs, parseAsFlumeEvent } = optionsOf(options, brokers);
  assert.deepEqual([pollTimeoutMs, parseAsFlumeEvent], [500, true]);
  assert.deepEqual(problems(brokers), []);
});

void test("properties of the producer and the consumer are passed on (T804)", () => {
  const { producer, consumer } = settings({
    "kafka.consumer.group.id": "g",
    "kafka.producer.acks": "1",
    "kafka.producer.compression.type": "gzip",
    "kafka.producer.max.request.size": "2097152",
    "kafka.producer.security.protocol": "SASL_PLAINTEXT",
    "kafka.producer.sasl.mechanism": "SCRAM-SHA-512",
    "kafka.producer.sasl.jaas.config":
      'org.apache.kafka.common.security.scram.ScramLoginModule required username="u" password="p";',
    "kafka.producer.client.id": "me",
    "kafka.consumer.session.timeout.ms": "9000",
    "kafka.consumer.isolation.level": "read_committed",
    "kafka.consumer.auto.offset.reset": "latest",
    "kafka.consumer.partition.assignment.strategy":
      "org.apache.kafka.clients.consumer.CooperativeStickyAssignor, org.apache.kafka.clients.consumer.RoundRobinAssignor",
    "kafka.consumer.security.protocol": "SSL",
    "kafka.consumer.ssl.truststore.location": "/trust.jks",
    "kafka.consumer.ssl.truststore.password": "secret",
    "kafka.consumer.ssl.disableTLSHostnameVerification": "true",
  });
  assert.deepEqual([...producer.problems, ...consumer.problems], []);
  const { acks, gzip, maxRequestBytes } = producer.settings;
  assert.deepEqual([acks, gzip, maxRequestBytes], [1, true, 2_097_152]);
  assert.deepEqual(producer.connection.sasl, {
    ...{ mechanism: "scram-sha-512", username: "u", password: "p" },
  });
  assert.equal(producer.connection.tls, undefined);
  assert.equal(producer.connection.clientId, "me");
  const { sessionTimeoutMs, heartbeatIntervalMs, readsUncommitted, startsAt, assignment } =
    consumer.settings;
  assert.deepEqual(
    [sessionTimeoutMs, heartbeatIntervalMs, readsUncommitted, startsAt, assignment],
    [9000, 3000, false, "latest", "roundrobin"],
  );
  assert.deepEqual(consumer.connection.tls?.trustStore, {
    ...{ path: "/trust.jks", type: "JKS", password: "secret" },
  });
  assert.equal(consumer.connection.tls?.checksHostName, false);
});

void test("old keys count where the new ones are not given (T805)", () => {
  const old = {
    brokerList: "old:9092",
    topic: "t",
    groupId: "g",
    readSmallestOffset: "false",
    zookeeperConnect: "z:2181",
  };
  const one = settingsOf(optionsOf(options, old));
  assert.deepEqual([one.brokers, one.topic, one.groupId], [["old:9092"], "t", "g"]);
  assert.equal(one.consumer.settings.startsAt, "latest");
  const both = settings({
    ...old,
    "kafka.topic": "new",
    "kafka.consumer.group.id": "newer",
    "kafka.consumer.auto.offset.reset": "earliest",
  });
  assert.deepEqual([both.brokers[0], both.topic, both.groupId], ["b1:9092", "new", "newer"]);
  assert.equal(both.consumer.settings.startsAt, "earliest");
  assert.deepEqual(problems(old), []);
});

void test("what cannot work is a problem with its key", () => {
  const cases: readonly [Record<string, string>, RegExp][] = [
    [{}, /^kafka\.bootstrap\.servers is required/],
    [{ "kafka.bootstrap.servers": "b1" }, /^kafka\.bootstrap\.servers "b1" is not host:port/],
    [{ ...brokers, "kafka.topic": "a b" }, /^kafka\.topic "a b" is no name of a topic/],
    [{ ...brokers, "kafka.producer.acks": "2" }, /^kafka\.producer\.acks "2" is not all/],
    [
      { ...brokers, "kafka.producer.compression.type": "zstd" },
      /compression\.type zstd needs Node\.js 22/,
    ],
    [{ ...brokers, "kafka.producer.compression.type": "snappy" }, /snappy needs a codec/],
    [
      { ...brokers, "kafka.consumer.session.timeout.ms": "x" },
      /"x" is not a whole number from 1000/,
    ],
    [
      { ...brokers, "kafka.consumer.heartbeat.interval.ms": "30000" },
      /not a whole number from 1 to 29999/,
    ],
    [{ ...brokers, "kafka.consumer.security.protocol": "SASL_SSL" }, /sasl\.mechanism is required/],
    [{ ...brokers, "kafka.producer.sasl.mechanism": "GSSAPI" }, /GSSAPI does not exist here/],
    [{ ...brokers, "kafka.consumer.partition.assignment.strategy": "x.Sticky" }, /names neither/],
    [
      { ...brokers, "kafka.consumer.allow.auto.create.topics": "yes" },
      /"yes" is not true or false/,
    ],
  ];
  for (const [given, want] of cases) assert.match(problems(given).join("\n"), want);
});

void test("properties that do nothing here are noted", () => {
  assert.deepEqual(
    notes({
      "kafka.consumer.group.id": "g",
      "kafka.producer.linger.ms": "5",
      "kafka.producer.enable.idempotence": "true",
      "kafka.producer.nonsense": "1",
      "kafka.producer.acks": "0",
      "kafka.consumer.enable.auto.commit": "true",
    }),
    [
      "kafka.producer.linger.ms",
      "kafka.producer.enable.idempotence",
      "kafka.producer.nonsense",
      "kafka.producer.acks",
      "kafka.consumer.enable.auto.commit",
    ],
  );
});

void test("the definition makes the channel it describes", async () => {
  assert.ok(definition.aliases.includes("org.apache.flume.channel.kafka.KafkaChannel"));
  assert.equal(definition.guarantee?.atLeastOnce, true);
});
