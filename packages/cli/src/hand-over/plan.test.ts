import { loadConfiguration } from "@millrace/agent";
import { systemRuntime } from "@millrace/core";
import { tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { loadRegistry } from "../commands/load-registry.ts";
import { ownAddresses } from "./own-addresses.ts";
import { type HandOverPlan, planHandOver } from "./plan.ts";
import { readHandOverSettings } from "./settings.ts";

const collector = `
c.sources = in
c.sources.in.type = avro
c.sources.in.bind = 0.0.0.0
c.sources.in.port = 4141
c.sources.in.channels = disk
c.channels = disk
c.channels.disk.type = file
c.channels.disk.dataDirs = /data/one, /data/two
c.sinks = out
c.sinks.out.type = null
c.sinks.out.channel = disk
`;

async function planOf(context: TestContext, text: string): Promise<HandOverPlan> {
  const file = join(await tempDirectory(context), "c.conf");
  await writeFile(file, text);
  const { configuration } = await loadConfiguration({
    ...{ files: [file], agent: "c", registry: await loadRegistry(), mode: "lenient" },
    defines: new Map(),
  });
  return planHandOver(configuration, { runtime: systemRuntime, home: "/home/c" });
}

test("a file channel that an Avro source fills is handed over, all its directories", async (context) => {
  const { channels, listened } = await planOf(context, collector);
  assert.deepEqual(
    channels.map(({ name, directories, stays }) => ({ name, directories, stays })),
    [{ name: "disk", directories: ["/data/one", "/data/two"], stays: undefined }],
  );
  assert.deepEqual(listened, [{ bind: "0.0.0.0", port: 4141 }]);
});

test("a sibling is spoken to as the agent's own source wants it", async (context) => {
  const tls = `
c.sources.in.ssl = true
c.sources.in.keystore = /tls/crt
c.sources.in.keystore-key = /tls/key
c.sources.in.keystore-type = PEM
c.sources.in.truststore = /tls/ca
c.sources.in.truststore-type = PEM
c.sources.in.clientAuth = required
c.sources.in.compression-type = deflate
`;
  const { clientProperties } = await planOf(context, collector + tls);
  assert.deepEqual(Object.fromEntries(clientProperties), {
    ssl: "true",
    keystore: "/tls/crt",
    "keystore-key": "/tls/key",
    "keystore-type": "PEM",
    truststore: "/tls/ca",
    "truststore-type": "PEM",
    "compression-type": "deflate",
  });
});

test("a channel of dead letters, and one that holds copies, stay", async (context) => {
  const more = `
c.channels = disk dead copy
c.channels.dead.type = file
c.channels.dead.dataDirs = /dead
c.channels.copy.type = memory
c.sources.in.channels = disk copy
c.sinks = out letters other
c.sinks.letters.type = null
c.sinks.letters.channel = dead
c.sinks.other.type = null
c.sinks.other.channel = copy
`;
  const { channels } = await planOf(context, collector + more);
  const stays = new Map(channels.map((channel) => [channel.name, channel.stays]));
  assert.match(stays.get("dead") ?? "", /^no Avro source fills dead/);
  assert.match(stays.get("disk") ?? "", /^source in copies its events to copy too/);
  assert.ok(!stays.has("copy"), "what is in memory was for the sinks alone");
});

test("-D words say where, how long and with what", () => {
  const read = (words: Record<string, string>) =>
    readHandOverSettings(new Map(Object.entries(words)));
  assert.deepEqual(read({}), {});
  const host = "dns://collectors:4141";
  const { settings } = read({
    "millrace.handOver": `${host}, other:4141`,
    "millrace.handOverSeconds": "7",
    "millrace.handOver.serverName": "collectors.example",
  });
  assert.deepEqual(settings?.hosts, [host, "other:4141"]);
  assert.equal(settings?.withinMs, 7000);
  assert.deepEqual([...settings.properties], [["serverName", "collectors.example"]]);
  assert.equal(read({ "millrace.handOver": host }).settings?.withinMs, 30_000);
  assert.match(read({ "millrace.handOver": "collectors" }).problem ?? "", /port is missing/);
  const soon = { "millrace.handOver": host, "millrace.handOverSeconds": "soon" };
  assert.match(read(soon).problem ?? "", /handOverSeconds=soon/);
});

test("an agent knows its own addresses: those it is bound to, with its port", () => {
  const here = ["127.0.0.1", "10.1.1.7", "fd00::7"];
  const everywhere = ownAddresses([{ bind: "0.0.0.0", port: 4141 }], here);
  for (const host of [...here, "::ffff:10.1.1.7", "FD00::7"]) {
    assert.ok(everywhere({ host, port: 4141 }), host);
  }
  assert.ok(!everywhere({ host: "10.1.1.8", port: 4141 }), "another machine");
  assert.ok(!everywhere({ host: "10.1.1.7", port: 4142 }), "another agent of this machine");
  const one = ownAddresses([{ bind: "127.0.0.2", port: 4141 }], here);
  assert.ok(one({ host: "127.0.0.2", port: 4141 }));
  assert.ok(!one({ host: "127.0.0.1", port: 4141 }), "an address that another listens at");
});
