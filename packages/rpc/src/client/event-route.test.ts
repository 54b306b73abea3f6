import { DeliveryError, EventBatch, MillraceError, silentLog, systemRuntime } from "@millrace/core";
import {
  createFakeClock,
  createSeededRandom,
  createTcpProxy,
  type FakeClock,
  numberedBatch,
  settle,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { createAvroClient } from "../avro/client.ts";
import { createAvroServer } from "../avro/server.ts";
import type { Host as HostAddress, HostList } from "../discovery/host-list.ts";
import { openHostList } from "../discovery/open-host-list.ts";
import type { EventClient } from "../wire/event-client.ts";
import type { EventHandler } from "../wire/event-server.ts";
import { createEventRoute, type EventRouteOptions } from "./event-route.ts";
import {
  createFailover,
  createFirstHost,
  createLoadBalance,
  createRoundRobin,
} from "./host-choice.ts";
import { startSource, startSources, type TestSource } from "./test-sources.test.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const noJitter = { ...createSeededRandom(1), integer: () => 200 };

function routeTo(
  test: TestContext,
  addresses: readonly string[],
  options: Partial<EventRouteOptions> = {},
  clock: FakeClock = createFakeClock(),
) {
  const runtime = { ...systemRuntime, clock, random: noJitter };
  const counted = { created: 0, closed: 0, failed: 0, hostFailed: [] as string[] };
  const route = createEventRoute({
    openHosts: () => openHostList(addresses, { ...runtime, log: silentLog }),
    choice: createFirstHost(),
    penaltyMsMax: 30_000,
    batchSize: 100,
    connectTimeoutMs: 1000,
    requestTimeoutMs: 1000,
    maxFrameBytes: 1 << 20,
    resetConnectionIntervalSeconds: 0,
    batchesInFlight: 1,
    connectionsMax: 1,
    createClient: createAvroClient,
    runtime,
    log: silentLog,
    observer: {
      connectionCreated: () => void counted.created++,
      connectionClosed: () => void counted.closed++,
      connectionFailed: () => void counted.failed++,
      hostFailed: ({ code }) => void counted.hostFailed.push(code),
    },
    ...options,
  });
  test.after(() => route.stop(now));
  return { route, clock, counted };
}

/** A server whose answers a test gives, in whatever order it likes. */
async function heldServer(test: TestContext) {
  const calls: { numbers: string; peer: string; answer: (status: "OK" | "FAILED") => void }[] = [];
  const handler: EventHandler = (batch, { peer }) =>
    new Promise((answer) => {
      calls.push({ numbers: [...batch].map(({ body }) => body.toString()).join(), peer, answer });
    });
  const server = createAvroServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemRuntime.clock,
    log: silentLog,
    limits: { requestsInFlight: 64 },
    handler,
  });
  await server.start(never);
  test.after(() => server.stop(now));
  const called = (count: number) => waitFor(`${count} calls`, () => calls.length >= count);
  return { address: `127.0.0.1:${server.port}`, calls, called, server };
}

/** The first reply ends the handshake, before which one call is sent only. */
async function greet(
  { calls, called }: Awaited<ReturnType<typeof heldServer>>,
  sent: Promise<void>,
) {
  await called(1);
  calls[0]?.answer("OK");
  await sent;
}

test("with batchesInFlight 1 a call begins when the one before it is answered", async (t) => {
  const held = await heldServer(t);
  const { route } = routeTo(t, [held.address]);
  const first = route.deliver(numberedBatch(1, 1));
  const second = route.deliver(numberedBatch(2, 2));
  await held.called(1);
  await settle(20);
  assert.equal(held.calls.length, 1);
  held.calls[0]?.answer("OK");
  await first;
  await held.called(2);
  held.calls[1]?.answer("OK");
  await second;
});

test("several batches are in flight on one connection; each settles by its own answer", async (t) => {
  const held = await heldServer(t);
  const { route, counted } = routeTo(t, [held.address], { batchesInFlight: 3 });
  await greet(held, route.deliver(numberedBatch(0, 0)));
  const settled: number[] = [];
  const sent = [1, 2, 3, 4].map((n) =>
    route.deliver(numberedBatch(n, n)).then(() => settled.push(n)),
  );
  await held.called(4);
  await settle(20);
  assert.deepEqual(held.calls.slice(1).map(({ numbers }) => numbers), ["1", "2", "3"]); // prettier-ignore
  held.calls[2]?.answer("OK");
  await within("the second", sent[1] as Promise<number>);
  assert.deepEqual(settled, [2]);
  await held.called(5);
  for (const { answer } of held.calls) answer("OK");
  await Promise.all(sent);
  assert.deepEqual([counted.created, new Set(held.calls.map(({ peer }) => peer)).size], [1, 1]);
});

test("with several in flight FAILED leaves the connection, and what is in flight on it is not sent twice", async (t) => {
  const held = await heldServer(t);
  const { route, counted } = routeTo(t, [held.address], { batchesInFlight: 3 });
  await greet(held, route.deliver(numberedBatch(0, 0)));
  const failing = assert.rejects(route.deliver(numberedBatch(1, 1)), { code: "RPC_STATUS_FAILED" });
  const others = [route.deliver(numberedBatch(2, 2)), route.deliver(numberedBatch(3, 3))];
  await held.called(4);
  held.calls[1]?.answer("FAILED");
  await failing;
  held.calls[2]?.answer("OK");
  held.calls[3]?.answer("OK");
  await Promise.all(others);
  assert.deepEqual([held.calls.length, counted.created, counted.closed], [4, 1, 0]);
  assert.equal(route.alive, true);
});

test("when a connection with several in flight is cut, each of them fails, and none is taken for sent", async (t) => {
  const held = await heldServer(t);
  const { route, counted } = routeTo(t, [held.address], { batchesInFlight: 3 });
  await greet(held, route.deliver(numberedBatch(0, 0)));
  const cut = [1, 2, 3].map((n) =>
    assert.rejects(route.deliver(numberedBatch(n, n)), { code: "RPC_CONNECTION_LOST" }),
  );
  await held.called(4);
  await held.server.stop(now);
  await Promise.all(cut);
  assert.deepEqual([counted.created, counted.closed], [1, 1]);
});

test("the parts of one list are in flight together; a failed one leaves the positions of the rest", async (t) => {
  const held = await heldServer(t);
  const options = { batchesInFlight: 3, batchSize: 2 };
  const { route } = routeTo(t, [held.address], options);
  await greet(held, route.deliver(numberedBatch(0, 0)));
  const failing = assert.rejects(route.deliver(numberedBatch(1, 9)), {
    name: "DeliveryError",
    code: "RPC_STATUS_FAILED",
    settled: [{ from: 0, to: 2 }, { from: 4, to: 6 }], // prettier-ignore
  });
  await held.called(4);
  const byNumbers = new Map(held.calls.map((call) => [call.numbers, call]));
  byNumbers.get("3,4")?.answer("FAILED");
  await settle(20);
  byNumbers.get("1,2")?.answer("OK");
  byNumbers.get("5,6")?.answer("OK");
  await failing;
  assert.equal(held.calls.length, 4, "after a failure no further part begins");
});

test("a due host has one trial batch while others are in flight; then it takes part again", async (t) => {
  const sources = (await startSources(t, 2)) as [TestSource, TestSource];
  const addresses = sources.map(({ address }) => address);
  const choice = createLoadBalance(createRoundRobin({ random: noJitter }));
  const { route, clock } = routeTo(t, addresses, { choice, batchesInFlight: 8 });
  sources[0].answer = "FAILED";
  await route.deliver(numberedBatch(1, 1));
  assert.deepEqual([route.hostCount, route.hostsUp], [2, 1]);
  sources[0].answer = "nothing";
  await clock.advance(2000);
  const sent = Array.from({ length: 7 }, (_, n) => route.deliver(numberedBatch(n, n)));
  await waitFor("six", () => sources[1].requests.length === 7);
  await settle(20);
  assert.equal(sources[0].asked, 2, "one failed, one on trial");
  sources[0].answer = "OK";
  await clock.advance(1000);
  await Promise.all(sent);
  assert.equal(route.hostsUp, 1, "the trial timed out");
  await clock.advance(4000);
  await route.deliver(numberedBatch(8, 8));
  await route.deliver(numberedBatch(9, 9));
  assert.equal(route.hostsUp, 2);
});

test("an old connection is replaced only when its calls are answered", async (t) => {
  const held = await heldServer(t);
  const options = { resetConnectionIntervalSeconds: 10, batchesInFlight: 2, requestTimeoutMs: 60_000 }; // prettier-ignore
  const { route, clock, counted } = routeTo(t, [held.address], options);
  await greet(held, route.deliver(numberedBatch(0, 0)));
  const old = route.deliver(numberedBatch(1, 1));
  await held.called(2);
  // 10 s, and up to a fifth more: 200 of 0..200 is all of it.
  await clock.advance(12_000);
  const next = route.deliver(numberedBatch(2, 2));
  await held.called(3);
  assert.notEqual(held.calls[2]?.peer, held.calls[1]?.peer);
  assert.deepEqual([counted.created, counted.closed], [2, 0]);
  held.calls[1]?.answer("OK");
  await old;
  await waitFor("the old one closed", () => counted.closed === 1);
  held.calls[2]?.answer("OK");
  await next;
});

test("a fleet does not replace its connections at one moment", async (t) => {
  const source = await startSource(t);
  const random = createSeededRandom(9);
  const clock = createFakeClock();
  const runtime = { ...systemRuntime, clock, random };
  const options = { resetConnectionIntervalSeconds: 100, runtime };
  const fleet = Array.from({ length: 40 }, () => routeTo(t, [source.address], options, clock));
  const deliver = () => Promise.all(fleet.map(({ route }) => route.deliver(numberedBatch(1, 1))));
  const replaced = () => fleet.filter(({ counted }) => counted.created === 2).length;
  await deliver();
  await clock.advance(99_999);
  await deliver();
  assert.equal(replaced(), 0);
  const steps: number[] = [];
  for (let s = 100; s < 120; s += 4) {
    await clock.advance(4000);
    const before = replaced();
    await deliver();
    steps.push(replaced() - before);
  }
  assert.equal(replaced(), 40);
  assert.ok(
    steps.every((count) => count > 0 && count < 20),
    String(steps),
  );
});

test("a peer that vanished without a word is left when the request timeout is over (half-open)", async (t) => {
  const sources = (await startSources(t, 2)) as [TestSource, TestSource];
  const proxy = await createTcpProxy({ host: "127.0.0.1", port: sources[0].port });
  t.after(() => proxy.close());
  const addresses = [`127.0.0.1:${proxy.port}`, sources[1].address];
  const choice = createFailover(true);
  const { route, clock, counted } = routeTo(t, addresses, { choice });
  await route.deliver(numberedBatch(1, 1));
  await proxy.setMode("stall");
  const sent = route.deliver(numberedBatch(2, 2));
  await settle(20);
  await clock.advance(1000);
  await within("the other host", sent);
  assert.deepEqual([sources[0].bodies, sources[1].bodies], [["1"], ["2"]]);
  assert.deepEqual(counted.hostFailed, ["RPC_TIMEOUT"]);
  await proxy.setMode("pass");
  await clock.advance(2000);
  await route.deliver(numberedBatch(3, 3));
  assert.ok(sources[0].bodies.includes("3"), "it has batches again after its penalty");
});

for (const { name, damage, code } of [
  { name: "cut", damage: "cut", code: "RPC_CONNECTION_LOST" },
  { name: "whose answers are swallowed", damage: "swallow", code: "RPC_TIMEOUT" },
] as const) {
  test(`a batch on a connection ${name} goes to the next host`, async (t) => {
    const sources = (await startSources(t, 2)) as [TestSource, TestSource];
    const proxy = await createTcpProxy({ host: "127.0.0.1", port: sources[0].port });
    t.after(() => proxy.close());
    const addresses = [`127.0.0.1:${proxy.port}`, sources[1].address];
    const { route, clock, counted } = routeTo(t, addresses, { choice: createFailover(true) });
    await route.deliver(numberedBatch(1, 1));
    if (damage === "swallow") await proxy.setMode("swallow-replies");
    else sources[0].answer = "nothing";
    const sent = route.deliver(numberedBatch(2, 2));
    await waitFor("the request", () => sources[0].asked === 2);
    if (damage === "cut") proxy.cut();
    else await clock.advance(1000);
    await within("the other host", sent);
    assert.deepEqual(counted.hostFailed, [code]);
    assert.deepEqual(sources[1].bodies, ["2"]);
  });
}

/** Hosts that a test changes. */
function changingList(first: readonly HostAddress[]) {
  let listener = (): void => {};
  const list = {
    hosts: first,
    onChange(call: () => void) {
      listener = call;
      return () => {};
    },
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
  } satisfies HostList;
  const change = (hosts: readonly HostAddress[]): void => {
    list.hosts = hosts;
    listener();
  };
  return { list, change };
}

test("hosts come and go while it runs: what is in flight with one that goes is answered", async (t) => {
  const held = await heldServer(t);
  const source = await startSource(t);
  const [going, staying] = [held.address, source.address].map((address) => ({
    host: "127.0.0.1",
    port: Number(address.split(":")[1]),
  })) as [HostAddress, HostAddress];
  const { list, change } = changingList([]);
  const { route, counted } = routeTo(t, [], { openHosts: () => list });
  await assert.rejects(route.deliver(numberedBatch(0, 0)), {
    code: "RPC_HOSTS_UNAVAILABLE",
    message: "no host is known yet",
  });
  change([going]);
  const sent = route.deliver(numberedBatch(1, 1));
  await held.called(1);
  change([staying]);
  assert.equal(counted.closed, 0);
  held.calls[0]?.answer("OK");
  await sent;
  await waitFor("closed", () => counted.closed === 1);
  await route.deliver(numberedBatch(2, 2));
  assert.deepEqual(source.bodies, ["2"]);
});

test("a host that has gone from the list is cut when the route stops at its deadline", async (t) => {
  const held = await heldServer(t);
  const { list, change } = changingList([{ host: "127.0.0.1", port: Number(held.address.split(":")[1]) }]); // prettier-ignore
  const { route } = routeTo(t, [], { openHosts: () => list });
  const cut = assert.rejects(route.deliver(numberedBatch(1, 1)), { code: "RPC_CONNECTION_LOST" });
  await held.called(1);
  change([]);
  await within("the stop", route.stop(now));
  await cut;
});

test("a delivery that is given up is no failure of the host", async (t) => {
  const held = await heldServer(t);
  const { route, counted } = routeTo(t, [held.address]);
  const giveUp = new AbortController();
  const given = assert.rejects(route.deliver(numberedBatch(1, 1), giveUp.signal), {
    code: "RPC_CONNECTION_LOST",
  });
  await held.called(1);
  giveUp.abort();
  await given;
  assert.deepEqual([counted.hostFailed, route.hostsUp], [[], 1]);
});

test("events that no host can take are not offered to another, and no host is penalised", async (t) => {
  const sources = await startSources(t, 2);
  const refusing = new MillraceError("EVENT_REJECTED", "too large for this wire");
  const { route } = routeTo(
    t,
    sources.map(({ address }) => address),
    {
      choice: createFailover(true),
      createClient: (options) => ({
        ...createAvroClient(options),
        alive: true,
        connect: () => Promise.resolve(),
        close: () => {},
        append: () => Promise.reject(refusing),
        appendBatch: () => Promise.reject(refusing),
      }),
    },
  );
  await assert.rejects(route.deliver(numberedBatch(1, 1)), refusing);
  assert.equal(route.hostsUp, 2);
});

/** A client that takes the first event of each batch and fails with the rest, as it is told. */
function takingOne(taken: Map<number, string[]>, detail: { rejected?: boolean } = {}) {
  return ({ port }: { port: number }): EventClient => {
    const appendBatch = (batch: EventBatch): Promise<void> => {
      const bodies = [...batch].map(({ body }) => body.toString());
      taken.set(port, [...(taken.get(port) ?? []), bodies.join()]);
      if (batch.length === 1) return Promise.resolve();
      const settled = [{ from: 0, to: 1 }];
      const rejected = detail.rejected === true ? [{ from: 2, to: 3 }] : [];
      return Promise.reject(new DeliveryError("RPC_TIMEOUT", "the rest", { settled, rejected }));
    };
    const connect = () => Promise.resolve();
    return { alive: true, connect, append: appendBatch, appendBatch, close() {} };
  };
}

test("what a wire's client took of one request the next host is not offered", async (t) => {
  const taken = new Map<number, string[]>();
  const choice = createFailover(true);
  const createClient = takingOne(taken);
  const addresses = ["a:1", "b:2", "c:3"];
  const { route } = routeTo(t, addresses, { choice, createClient });
  await route.deliver(numberedBatch(1, 3));
  assert.deepEqual([...taken.values()], [["1,2,3"], ["2,3"], ["3"]]);
  const short = routeTo(t, addresses.slice(1), { choice: createFailover(true), createClient });
  await assert.rejects(short.route.deliver(numberedBatch(1, 4)), {
    code: "RPC_HOSTS_UNAVAILABLE",
    settled: [{ from: 0, to: 2 }],
  });
});

test("positions of parts are positions of the whole list, settled and refused alike", async (t) => {
  const taken = new Map<number, string[]>();
  const createClient = takingOne(taken, { rejected: true });
  const { route } = routeTo(t, ["a:1"], { createClient, batchSize: 3 });
  await assert.rejects(route.deliver(numberedBatch(1, 7)), {
    code: "RPC_TIMEOUT",
    settled: [{ from: 0, to: 1 }],
    rejected: [{ from: 2, to: 3 }],
  });
});

test("at a stop's deadline what is under way goes to no other host, and what waits begins no more", async (t) => {
  const held = await heldServer(t);
  const other = await startSource(t);
  const addresses = [held.address, other.address];
  const { route } = routeTo(t, addresses, { choice: createFailover(true) });
  const cut = [1, 2, 3].map((n) =>
    assert.rejects(route.deliver(numberedBatch(n, n)), { code: "RPC_CONNECTION_LOST" }),
  );
  await held.called(1);
  await within("the stop", route.stop(now));
  await Promise.all(cut);
  assert.deepEqual([held.calls.length, other.asked], [1, 0]);
});

test("a pool opens one connection more while all are busy, up to connectionsMax (T151)", async (t) => {
  const held = await heldServer(t);
  const { route, counted } = routeTo(t, [held.address], { connectionsMax: 3 });
  const sent = [1, 2, 3, 4].map((n) => route.deliver(numberedBatch(n, n)));
  await held.called(3);
  await settle(20);
  assert.equal(held.calls.length, 3);
  for (let i = 0; i < 4; i++) {
    await held.called(i + 1);
    held.calls[i]?.answer("OK");
  }
  await Promise.all(sent);
  assert.equal(counted.created, 3);
  assert.equal(new Set(held.calls.slice(0, 3).map(({ peer }) => peer)).size, 3);
});

test("hosts that SRV ranks behind have turns only when those before them take nothing", async (t) => {
  const sources = (await startSources(t, 3)) as [TestSource, TestSource, TestSource];
  const { list } = changingList(
    sources.map(({ port }, i) => ({ host: "127.0.0.1", port, priority: i === 0 ? 20 : 10 })),
  );
  const choice = createLoadBalance(createRoundRobin({ random: noJitter }));
  const { route } = routeTo(t, [], { openHosts: () => list, choice });
  for (let n = 0; n < 6; n++) await route.deliver(numberedBatch(n, n));
  assert.deepEqual(sources.map(({ requests }) => requests.length), [0, 3, 3]); // prettier-ignore
  sources[1].answer = sources[2].answer = "FAILED";
  await route.deliver(EventBatch.join([numberedBatch(7, 7), numberedBatch(8, 8)]));
  assert.deepEqual(sources[0].bodies, ["7", "8"]);
});
