import { EventBatch, parseOptions, type SourceContext, systemRuntime } from "@millrace/core";
import { createAvroClient, createAvroServer, defaultEventServerLimits } from "@millrace/rpc";
import {
  type ConsulAgent,
  createConsulAgent,
  createFakeClock,
  createSeededRandom,
  type FakeClock,
  lifecycleContract,
  optionsOf,
  sourceContext,
  tempDirectory,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createRegistration } from "./registration.ts";
import { checkRegistration, registrationOptions } from "./registration-options.ts";
import { createRpcSource, type RpcSource } from "./rpc-source.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
/** Chance under which jitter neither adds nor takes. */
const random = { ...createSeededRandom(1), integer: (below: number) => (below - 1) / 2 };

async function consul(t: TestContext): Promise<ConsulAgent> {
  const agent = await createConsulAgent();
  t.after(() => agent.stop());
  return agent;
}

function made(
  t: TestContext,
  agent: ConsulAgent,
  properties: Record<string, string> = {},
  overrides: Partial<SourceContext> = {},
): { source: RpcSource; context: ReturnType<typeof sourceContext>; clock: FakeClock } {
  const clock = createFakeClock();
  const runtime = { ...systemRuntime, clock, random };
  const context = sourceContext({ agent: "c1", name: "in", runtime, ...overrides });
  const options = optionsOf(registrationOptions, {
    "consul.service": "collectors",
    "consul.agent": agent.address,
    ...properties,
  });
  const source = createRpcSource(
    { ...defaultEventServerLimits, ...options, bind: "127.0.0.1", port: 0 },
    context,
    createAvroServer,
  );
  t.after(() => source.stop(now));
  return { source, context, clock };
}

const registered = async (agent: ConsulAgent): Promise<void> =>
  waitFor("the registration", () => agent.services.size === 1);

lifecycleContract("a source that registers", async (t) => made(t, await consul(t)).source);

test("a source is in Consul from when it listens, with a check, until it stops", async (t) => {
  const agent = await consul(t);
  const properties = { "consul.tags": "eu, tier1", "consul.deregisterAfter": "90" };
  const { source, context } = made(t, agent, properties);
  await source.start(never);
  await registered(agent);
  const id = `millrace:c1:127.0.0.1:${source.port}`;
  assert.deepEqual(agent.services.get(id), {
    ID: id,
    Name: "collectors",
    Tags: ["eu", "tier1"],
    Address: "127.0.0.1",
    Port: source.port,
    Meta: { agent: "c1", source: "in" },
    Check: {
      CheckID: `${id}:check`,
      Name: "collectors takes connections",
      TCP: `127.0.0.1:${source.port}`,
      Interval: "10s",
      Timeout: "5s",
      Status: "passing",
      DeregisterCriticalServiceAfter: "90s",
    },
  });
  await waitFor("the metric", () => context.metrics.value("millrace_source_registered") === 1);
  const says = `registered in Consul at ${agent.address} as collectors, eu, tier1`;
  assert.ok(context.log.lines.some(({ message }) => message === says));
  await source.stop(never);
  assert.equal(agent.services.size, 0);
  assert.equal(context.metrics.value("millrace_source_registered"), 0);
});

test("a source that is started again after a stop is in Consul again, until it stops", async (t) => {
  const agent = await consul(t);
  const { source } = made(t, agent);
  // As flume-ng does with a source whose port was taken at first.
  await source.stop(never);
  for (let run = 1; run <= 2; run++) {
    await source.start(never);
    await registered(agent);
    await source.stop(never);
    assert.equal(agent.services.size, 0);
  }
});

test("without consul.service nothing is asked and nothing shown", () => {
  const context = sourceContext();
  const options = optionsOf(registrationOptions, {});
  assert.equal(createRegistration(options, { bind: "127.0.0.1" }, context), undefined);
  assert.equal(context.metrics.value("millrace_source_registered"), undefined);
});

for (const { name, bind, address, want } of [
  {
    name: "a bind of all addresses is the node's address, and checked on this machine",
    bind: "0.0.0.0",
    want: { Address: undefined, id: hostname(), target: "127.0.0.1:4141" },
  },
  {
    name: "a bind of all IPv6 addresses is checked by IPv6",
    bind: "::",
    want: { Address: undefined, id: hostname(), target: "[::1]:4141" },
  },
  {
    name: "consul.address is what senders are told, and what is checked",
    bind: "0.0.0.0",
    address: "10.1.2.3",
    want: { Address: "10.1.2.3", id: "10.1.2.3", target: "10.1.2.3:4141" },
  },
  {
    name: "an IPv6 address is checked in brackets",
    bind: "::",
    address: "2001:db8::1",
    want: { Address: "2001:db8::1", id: "2001:db8::1", target: "[2001:db8::1]:4141" },
  },
] as { name: string; bind: string; address?: string; want: Record<string, string | undefined> }[]) {
  test(name, async (t) => {
    const agent = await consul(t);
    const options = optionsOf(registrationOptions, {
      "consul.service": "collectors",
      "consul.agent": agent.address,
      ...(address === undefined ? {} : { "consul.address": address }),
    });
    const registration = createRegistration(options, { bind }, sourceContext({ agent: "c1" }));
    t.after(() => registration?.stop(now));
    registration?.start(4141);
    await registered(agent);
    const [entry] = [...agent.services.values()];
    assert.equal(entry?.ID, `millrace:c1:${want["id"]}:4141`);
    assert.equal(entry?.Address || undefined, want["Address"]);
    assert.equal(entry?.Check?.["TCP"], want["target"]);
  });
}

test("a TTL check is passed at a third of its time, and only while the source is up", async (t) => {
  const agent = await consul(t);
  const { source, clock } = made(t, agent, { "consul.check": "ttl", "consul.ttl": "30" });
  await source.start(never);
  await registered(agent);
  const id = `millrace:c1:127.0.0.1:${source.port}`;
  assert.equal(agent.services.get(id)?.Check?.["TTL"], "30s");
  assert.equal(agent.services.get(id)?.Check?.["TCP"], undefined);
  const passes = (): number =>
    agent.requests.filter(({ path }) => path.startsWith("/v1/agent/check/pass/")).length;
  for (let count = 1; count <= 3; count++) {
    agent.setHealth(id, "critical");
    await waitFor("a pause", () => clock.timerCount === 2);
    await clock.advance(9999);
    assert.equal(passes(), count - 1);
    await clock.advance(1);
    await waitFor("a pass", () => agent.health(id) === "passing");
    assert.equal(passes(), count);
  }
  await source.stop(never);
  await clock.advance(60_000);
  assert.equal(passes(), 3);
  assert.equal(agent.services.size, 0);
});

for (const check of ["tcp", "ttl"]) {
  test(`a source that Consul has lost is registered again, with a ${check} check`, async (t) => {
    const agent = await consul(t);
    const { source, context, clock } = made(t, agent, { "consul.check": check });
    await source.start(never);
    await registered(agent);
    agent.forget();
    await waitFor("a pause", () => clock.timerCount === 2);
    await clock.advance(30_000);
    await registered(agent);
    await waitFor("the line", () =>
      context.log.lines.some(({ message }) => message.startsWith("registered again in Consul")),
    );
    assert.equal(context.log.lines.filter(({ level }) => level === "warn").length, 0);
  });
}

test("without Consul the source starts and serves, and registers when Consul is there", async (t) => {
  const agent = await consul(t);
  await agent.stop();
  const { source, context, clock } = made(t, agent);
  await within("start", source.start(never));
  const client = createAvroClient({
    host: "127.0.0.1",
    port: source.port,
    connectTimeoutMs: 5000,
    requestTimeoutMs: 5000,
    maxFrameBytes: 1 << 20,
    clock: systemRuntime.clock,
    log: context.log,
  });
  t.after(() => client.close());
  await client.connect();
  await client.appendBatch(EventBatch.fromEvents([{ body: Buffer.from("a") }]));
  assert.equal(context.batches.length, 1);
  const warnings = () => context.log.lines.filter(({ level }) => level === "warn");
  await waitFor("the failure", () => warnings().length === 1);
  for (const pauseMs of [1000, 2000, 4000]) {
    await waitFor("a pause", () => clock.timerCount === 2);
    await clock.advance(pauseMs);
  }
  await waitFor("a pause", () => clock.timerCount === 2);
  assert.equal(warnings().length, 1, "one line however often it failed");
  assert.equal(warnings()[0]?.detail["code"], "REGISTRATION_FAILED");
  assert.match(
    warnings()[0]?.message ?? "",
    /not registered as collectors: Consul at .*ECONNREFUSED.*; it is tried again, events are taken/,
  );
  await agent.listen();
  await clock.advance(30_000);
  await registered(agent);
  assert.equal(context.metrics.value("millrace_source_registered"), 1);
});

test("a registration that is refused says so, with the right that is missing", async (t) => {
  const agent = await consul(t);
  agent.fault = "forbidden";
  const file = join(await tempDirectory(t), "token");
  await writeFile(file, "s.secret");
  const { source, context } = made(t, agent, { "consul.tokenFile": file });
  await source.start(never);
  await waitFor("the failure", () => context.log.lines.some(({ level }) => level === "warn"));
  const { message } = context.log.lines.find(({ level }) => level === "warn") ?? assert.fail();
  assert.match(message, /Permission denied; the token must have the right to it/);
  assert.ok(!message.includes("s.secret"));
  assert.equal(agent.requests[0]?.token, "s.secret");
});

test("senders are told to go elsewhere before the source stops to serve those it has", async (t) => {
  const agent = await consul(t);
  let finish: (() => void) | undefined;
  const processEventBatch = (): Promise<void> => new Promise((resolve) => (finish = resolve));
  const overrides = { channelProcessor: { processEventBatch } };
  const { source, context } = made(t, agent, {}, overrides);
  await source.start(never);
  await registered(agent);
  const client = createAvroClient({
    host: "127.0.0.1",
    port: source.port,
    connectTimeoutMs: 5000,
    requestTimeoutMs: 5000,
    maxFrameBytes: 1 << 20,
    clock: systemRuntime.clock,
    log: context.log,
  });
  t.after(() => client.close());
  await client.connect();
  const sent = client.appendBatch(EventBatch.fromEvents([{ body: Buffer.from("a") }]));
  await waitFor("the batch", () => finish !== undefined);
  const stopped = source.stop(never);
  await waitFor("the deregistration", () => agent.services.size === 0);
  finish?.();
  await within("the answer", sent);
  await within("the stop", stopped);
});

test("a Consul that hangs holds a stop for two seconds, and none over its deadline", async (t) => {
  for (const deadline of ["none", "over"]) {
    const agent = await consul(t);
    const { source, context, clock } = made(t, agent);
    await source.start(never);
    await registered(agent);
    agent.fault = "hang";
    const asked = agent.requests.length;
    const stopped = source.stop(deadline === "over" ? now : never);
    if (deadline === "none") {
      await waitFor("the question", () => agent.requests.length > asked);
      await clock.advance(2000);
    }
    await within("the stop", stopped);
    const last = context.log.lines.find(({ message }) => message.startsWith("not deregistered"));
    assert.match(last?.message ?? "", /given up; its check will show that it is gone/);
  }
});

test("an entry that Consul does not know any more is no fault when the source stops", async (t) => {
  const agent = await consul(t);
  const { source, context } = made(t, agent);
  await source.start(never);
  await registered(agent);
  agent.forget();
  await source.stop(never);
  assert.equal(context.log.lines.filter(({ level }) => level === "warn").length, 0);
});

const problems: { name: string; properties: Record<string, string>; want: RegExp | undefined }[] = [
  { name: "nothing of Consul", properties: {}, want: undefined },
  { name: "a service", properties: { "consul.service": "collectors" }, want: undefined },
  {
    name: "all of it",
    properties: {
      "consul.service": "collectors",
      "consul.address": "2001:db8::1",
      "consul.agent": "https://[::1]:8501",
      "consul.tags": "a,b",
    },
    want: undefined,
  },
  {
    name: "tags without a service",
    properties: { "consul.tags": "a" },
    want: /^consul\.tags is read only with consul\.service$/,
  },
  {
    name: "an address without a service",
    properties: { "consul.address": "h" },
    want: /^consul\.address is read only/,
  },
  {
    name: "a URL as the service",
    properties: { "consul.service": "consul://collectors" },
    want: /^consul\.service "consul:\/\/collectors" is no name of a service$/,
  },
  {
    name: "an address with a port in brackets",
    properties: { "consul.service": "c", "consul.address": "[::1]:1" },
    want: /^consul\.address .* is no host or address; the port is the source's$/,
  },
  {
    name: "an agent that is none",
    properties: { "consul.service": "c", "consul.agent": "ftp://h" },
    want: /^consul\.agent .*is no address of a Consul agent/,
  },
];
for (const { name, properties, want } of problems) {
  test(`${name} is ${want === undefined ? "fine" : "a problem"}`, () => {
    const found = checkRegistration(optionsOf(registrationOptions, properties)).map(
      ({ key, message }) => `${key} ${message}`,
    );
    if (want === undefined) assert.deepEqual(found, []);
    else assert.match(found.join("\n"), want);
  });
}

test("times that Consul would not take are problems of their options", () => {
  const given = { "consul.ttl": "2", "consul.deregisterAfter": "59", "consul.check": "http" };
  const { problems: found } = parseOptions(registrationOptions, new Map(Object.entries(given)));
  assert.deepEqual(found.map(({ key }) => key).sort(), Object.keys(given).sort());
});
