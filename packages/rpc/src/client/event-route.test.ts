import { DeliveryError, type EventBatch, MillraceError, systemRuntime } from "@millrace/core";
import {
  createFakeClock,
  createSeededRandom,
  createTcpProxy,
  numberedBatch,
  settle,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createAvroClient } from "../avro/client.ts";
import type { EventClient } from "../wire/event-client.ts";
import { createFailover, createLoadBalance, createRoundRobin } from "./host-choice.ts";
import { heldServer, noJitter, routeTo } from "./test-route.test.ts";
import { startSource, startSources, type TestSource } from "./test-sources.test.ts";

const now = AbortSignal.abort();

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

test("the parts of one list go one after another, though a pool has room for all of them", async (t) => {
  const held = await heldServer(t);
  const { route } = routeTo(t, [held.address], { connectionsMax: 5, batchSize: 2 });
  const sent = route.deliver(numberedBatch(1, 8));
  for (let part = 1; part <= 4; part++) {
    await held.called(part);
    await settle(20);
    assert.equal(held.calls.length, part);
    held.calls[part - 1]?.answer("OK");
  }
  await sent;
  assert.deepEqual(held.calls.map(({ numbers }) => numbers), ["1,2", "3,4", "5,6", "7,8"]); // prettier-ignore
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
