/** Discovery and registration against a real Consul server, in this process. */
import { systemRuntime } from "@millrace/core";
import {
  createAvroServer,
  defaultEventServerLimits,
  plainServer,
  type ServerTransport,
} from "@millrace/rpc";
import { createGrpcServer } from "@millrace/rpc/grpc";
import { createThriftServer } from "@millrace/rpc/thrift";
import { type Host, type HostList, openHostList } from "@millrace/rpc/discovery";
import {
  type CollectingLog,
  createCollectingLog,
  optionsOf,
  sourceContext,
  tempDirectory,
  waitFor,
  within,
  writeTestStores,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { registrationOptions } from "../../packages/components/src/rpc/registration-options.ts";
import { createRpcSource, type RpcSource } from "../../packages/components/src/rpc/rpc-source.ts";
import { findGoProgram } from "../harness/go-program.ts";
import { consulProgram } from "../harness/go-programs.ts";
import { type ConsulServer, createConsulServer } from "./harness/consul-server.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const patienceMs = 60_000;

async function running(t: TestContext): Promise<ConsulServer | undefined> {
  const binary = findGoProgram(t, consulProgram);
  if (binary === undefined) return undefined;
  const consul = await createConsulServer(t, binary);
  await consul.start();
  return consul;
}

type CreateServer = Parameters<typeof createRpcSource>[2];

interface Collector {
  readonly source: RpcSource;
  readonly log: CollectingLog;
  readonly id: string;
}

async function collector(
  t: TestContext,
  consul: ConsulServer,
  agent: string,
  properties: Record<string, string> = {},
  transport?: ServerTransport,
  createServer: CreateServer = createAvroServer,
): Promise<Collector> {
  const options = optionsOf(registrationOptions, {
    "consul.service": "collectors",
    "consul.agent": consul.address,
    "consul.interval": "1",
    ...properties,
  });
  const context = sourceContext({ agent });
  const source = createRpcSource(
    {
      ...defaultEventServerLimits,
      ...options,
      ...(transport === undefined ? {} : { transport }),
      bind: "127.0.0.1",
      port: 0,
    },
    context,
    createServer,
  );
  t.after(() => source.stop(now));
  await source.start(never);
  return { source, log: context.log, id: `millrace:${agent}:127.0.0.1:${source.port}` };
}

async function listed(
  t: TestContext,
  consul: ConsulServer,
  address = "consul://collectors",
): Promise<{ list: HostList; log: CollectingLog }> {
  const log = createCollectingLog();
  const environment = { CONSUL_HTTP_ADDR: consul.address };
  const list = openHostList([address], { ...systemRuntime, log, environment });
  t.after(() => list.stop(now));
  await within("start", list.start(never));
  return { list, log };
}

const ports = (hosts: readonly Host[]): number[] => hosts.map(({ port }) => port).sort();

async function becomes(list: HostList, ...collectors: readonly Collector[]): Promise<void> {
  const want = collectors.map(({ source }) => source.port).sort();
  await waitFor(
    `the list to be ${want.join(", ")}`,
    () => JSON.stringify(ports(list.hosts)) === JSON.stringify(want),
    patienceMs,
  ).catch((error: Error) => {
    throw new Error(`${error.message}; it is ${ports(list.hosts).join(", ")}`);
  });
}

test("collectors come and go in the list as they start and stop", async (t) => {
  const consul = await running(t);
  if (consul === undefined) return;
  const { list } = await listed(t, consul);
  assert.deepEqual(list.hosts, []);
  const first = await collector(t, consul, "c1");
  await becomes(list, first);
  const second = await collector(t, consul, "c2", { "consul.check": "ttl", "consul.ttl": "3" });
  await becomes(list, first, second);
  assert.deepEqual(
    new Set(list.hosts.map(({ host, weight }) => `${host} ${weight}`)),
    new Set(["127.0.0.1 1"]),
  );
  assert.deepEqual(await consul.health("collectors"), [
    `${first.id} passing`,
    `${second.id} passing`,
  ]);
  await first.source.stop(never);
  await becomes(list, second);
  assert.deepEqual(await consul.health("collectors"), [`${second.id} passing`]);
  await second.source.stop(never);
  assert.deepEqual(await consul.health("collectors"), []);
});

test("tags choose among the collectors, and all given ones must be there", async (t) => {
  const consul = await running(t);
  if (consul === undefined) return;
  const eu = await collector(t, consul, "c1", { "consul.tags": "eu" });
  const both = await collector(t, consul, "c2", { "consul.tags": "eu, tier1" });
  await becomes((await listed(t, consul)).list, eu, both);
  await becomes((await listed(t, consul, "consul://collectors?tag=eu")).list, eu, both);
  await becomes((await listed(t, consul, "consul://collectors?tag=eu&tag=tier1")).list, both);
  const near = await listed(t, consul, "consul://collectors?near=_agent&dc=dc1&tag=tier1");
  await becomes(near.list, both);
  const none = await listed(t, consul, "consul://collectors?tag=us");
  assert.deepEqual(none.list.hosts, []);
  assert.match(none.log.lines[0]?.message ?? "", /names no passing instance of collectors/);
});

test("a collector that hangs leaves the list by its TTL, and is back when it says so", async (t) => {
  const consul = await running(t);
  if (consul === undefined) return;
  const healthy = await collector(t, consul, "c1");
  const entry = {
    ID: "hung",
    Name: "collectors",
    Address: "127.0.0.1",
    Port: 9,
    Check: { CheckID: "hung:check", TTL: "3s", Status: "passing" },
  };
  await consul.put("/v1/agent/service/register", entry);
  const { list } = await listed(t, consul);
  const hung: Collector = { ...healthy, source: { ...healthy.source, port: 9 } };
  await becomes(list, healthy, hung);
  await becomes(list, healthy);
  await consul.put("/v1/agent/check/pass/hung:check");
  await becomes(list, healthy, hung);
  const every = await listed(t, consul, "consul://collectors?passing=false");
  await becomes(every.list, healthy, hung);
});

test("a collector that is gone without a word leaves the list by its TCP check", async (t) => {
  const consul = await running(t);
  if (consul === undefined) return;
  const first = await collector(t, consul, "c1");
  const gone = await collector(t, consul, "c2");
  const { list } = await listed(t, consul);
  await becomes(list, first, gone);
  await gone.source.stop(never);
  // As a killed process leaves it: registered, with nobody behind its port.
  await consul.put("/v1/agent/service/register", {
    ID: gone.id,
    Name: "collectors",
    Address: "127.0.0.1",
    Port: gone.source.port,
    Check: {
      TCP: `127.0.0.1:${gone.source.port}`,
      Interval: "1s",
      Timeout: "1s",
      Status: "passing",
    },
  });
  await becomes(list, first, gone);
  await becomes(list, first);
  assert.deepEqual(
    new Set(await consul.health("collectors")),
    new Set([`${first.id} passing`, `${gone.id} critical`]),
  );
});

test("a killed Consul leaves the list as it was; one that has forgotten all learns it again", async (t) => {
  const consul = await running(t);
  if (consul === undefined) return;
  const cache = join(await tempDirectory(t), "hosts.json");
  const address = `consul://collectors?cache=${cache}`;
  const tcp = await collector(t, consul, "c1");
  const ttl = await collector(t, consul, "c2", { "consul.check": "ttl", "consul.ttl": "3" });
  const { list, log } = await listed(t, consul, address);
  await becomes(list, tcp, ttl);
  let changes = 0;
  list.onChange(() => changes++);
  await consul.kill();
  const said = (text: RegExp) => () => log.lines.some(({ message }) => text.test(message));
  await waitFor("the line", said(/Consul at .*; what was last known is kept: 127/), patienceMs);
  await becomes(list, tcp, ttl);
  const restarted = await listed(t, consul, address);
  await becomes(restarted.list, tcp, ttl);
  assert.equal(changes, 0);
  await consul.forget();
  await consul.start();
  const third = await collector(t, consul, "c3");
  const registeredAgain = ({ log: { lines } }: Collector): boolean =>
    lines.some(({ message }) => message.startsWith("registered again"));
  await waitFor("both to register again", () => [tcp, ttl].every(registeredAgain), patienceMs);
  await becomes(list, tcp, ttl, third);
  await becomes(restarted.list, tcp, ttl, third);
  assert.deepEqual(await consul.health("collectors"), [
    `${tcp.id} passing`,
    `${ttl.id} passing`,
    `${third.id} passing`,
  ]);
});

test("a TCP check passes on every wire, with TLS too, and is no malformed request, no failure and no line", async (t) => {
  const consul = await running(t);
  if (consul === undefined) return;
  const { password, server } = await writeTestStores(await tempDirectory(t));
  const choice = {
    includeProtocols: [],
    excludeProtocols: [],
    includeCipherSuites: [],
    excludeCipherSuites: [],
  };
  const keystore = { path: server.p12, type: "PKCS12", password } as const;
  const tls = { ...plainServer, tls: { ...choice, keystore, clientAuth: "none" } } as const;
  const thrift: CreateServer = (options) => createThriftServer({ ...options, protocol: "compact" });
  const collectors = [
    await collector(t, consul, "avro"),
    await collector(t, consul, "avro-tls", {}, tls),
    await collector(t, consul, "avro-deflate", {}, { ...tls, compression: "deflate" }),
    await collector(t, consul, "thrift", {}, undefined, thrift),
    await collector(t, consul, "thrift-tls", {}, tls, thrift),
    await collector(t, consul, "grpc", {}, undefined, createGrpcServer),
    await collector(t, consul, "grpc-tls", {}, tls, createGrpcServer),
  ];
  type Checks = Record<string, { Output: string; Status: string }>;
  const checks = async (): Promise<Checks> => (await consul.get("/v1/agent/checks")) as Checks;
  await waitFor(
    "every check to have connected",
    async () => {
      const all = Object.values(await checks());
      const success = all.filter(({ Output }) => /TCP connect .*Success/.test(Output));
      return success.length === collectors.length;
    },
    patienceMs,
  );
  for (const { id, source, log } of collectors) {
    assert.equal((await checks())[`${id}:check`]?.Status, "passing");
    await source.stop(never);
    assert.deepEqual(
      log.lines.filter(({ level }) => level !== "info" && level !== "debug"),
      [],
    );
  }
});

test("a Consul that comes back with what it knew is followed again, and nobody registers twice", async (t) => {
  const consul = await running(t);
  if (consul === undefined) return;
  const first = await collector(t, consul, "c1");
  const { list, log } = await listed(t, consul);
  await becomes(list, first);
  await consul.kill();
  await consul.start();
  const answersAgain = (): boolean =>
    log.lines.some(({ message }) => / names again /.test(message));
  await waitFor("an answer", answersAgain, patienceMs);
  const second = await collector(t, consul, "c2");
  await becomes(list, first, second);
  assert.deepEqual(await consul.health("collectors"), [
    `${first.id} passing`,
    `${second.id} passing`,
  ]);
});

test("with ACLs, no token is refused or sees nothing, and says so; the token's file opens both", async (t) => {
  const binary = findGoProgram(t, consulProgram);
  if (binary === undefined) return;
  const token = "5f0d3a52-3a10-4e8a-9b0d-0123456789ab";
  const consul = await createConsulServer(t, binary, {
    settings: `acl { enabled = true default_policy = "deny" tokens { initial_management = "${token}" agent = "${token}" } }`,
    token,
  });
  await consul.start();
  const file = join(await tempDirectory(t), "token");
  await writeFile(file, `${token}\n`);
  const refused = await collector(t, consul, "c1");
  await waitFor(
    "the refusal",
    () => refused.log.lines.some(({ message }) => /the token must have the right/.test(message)),
    patienceMs,
  );
  const welcome = await collector(t, consul, "c2", { "consul.tokenFile": file });
  const { list } = await listed(t, consul, `consul://collectors?token-file=${file}`);
  await becomes(list, welcome);
  // Consul tells a token that it does not see all, but not someone without one.
  const { SecretID } = (await consul.put("/v1/acl/token", {})) as { SecretID: string };
  await writeFile(file, SecretID);
  const blind = await listed(t, consul, `consul://collectors?token-file=${file}`);
  assert.deepEqual(blind.list.hosts, []);
  assert.match(blind.log.lines[0]?.message ?? "", /the token may not see all there is/);
});
