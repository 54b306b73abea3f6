/**
 * Netty 3, in Flume up to 1.9, hands a TCP segment with several TLS records to Java at once, which
 * TLS 1.3 does not bear: its clients break such a handshake off, with any server that is not Java.
 */
import { createAgentProcess, freePort, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { numberedDeck } from "./decks.ts";
import { agentConfig, memoryChannel } from "./harness/agent-config.ts";
import { findFlume } from "./harness/fetch-flume.ts";
import { startRpcDriver } from "./harness/rpc-driver.ts";
import { createTlsStores } from "./harness/tls-stores.ts";

const local = "127.0.0.1";

void test("a Flume 1.9 client that breaks TLS 1.3 off is told of, with what to set, which helps", async (t) => {
  const flume = await findFlume(t, "1.9.0");
  if (flume === undefined) return;
  const folder = await tempDirectory(t);
  const stores = await createTlsStores(t, folder);
  const ports = { all: await freePort(), old: await freePort() };
  const path = (port: number, more: Record<string, string>) => ({
    source: {
      type: "avro",
      bind: local,
      port: String(port),
      ssl: "true",
      keystore: stores.keystoreJks,
      "keystore-password": stores.password,
      ...more,
    },
    channel: memoryChannel,
    sink: { type: "null" },
  });
  const configFile = join(folder, "ours.conf");
  const paths = {
    all: path(ports.all, {}),
    old: path(ports.old, { "exclude-protocols": "TLSv1.3" }),
  };
  await writeFile(configFile, agentConfig("ours", paths));
  const agent = await createAgentProcess(t, { name: "ours", configFile });
  await agent.start();
  const sending = (name: "all" | "old") => ({
    name,
    properties: {
      hosts: "h1",
      "hosts.h1": `${local}:${ports[name]}`,
      ssl: "true",
      truststore: stores.truststoreJks,
      "truststore-password": stores.password,
      "connect-timeout": "5000",
      "request-timeout": "10000",
    },
    deck: numberedDeck([10]),
    call: "appendBatch" as const,
  });
  const driver = await startRpcDriver(t, flume, folder, [sending("old"), sending("all")]);
  await assert.rejects(driver.finished(90_000), /FAILED all/);
  assert.match(driver.output(), /^DONE old$/m);
  assert.match(agent.output(), /bad_record_mac.*set exclude-protocols = TLSv1\.3/);
});
