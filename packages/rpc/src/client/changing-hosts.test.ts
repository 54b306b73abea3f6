/** Routes whose hosts come, go and change while they run. */
import { EventBatch } from "@millrace/core";
import { numberedBatch, waitFor, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createAvroClient } from "../avro/client.ts";
import type { Host as HostAddress, HostList } from "../discovery/host-list.ts";
import { plainClient } from "../tcp/security.ts";
import { createFailover, createLoadBalance, createRoundRobin } from "./host-choice.ts";
import { heldServer, noJitter, routeTo } from "./test-route.test.ts";
import { startSource, startSources, type TestSource } from "./test-sources.test.ts";

const now = AbortSignal.abort();

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

test("a host that leaves the list while a batch fails at another is not connected to any more", async (t) => {
  const [first, second] = (await startSources(t, 2)) as [TestSource, TestSource];
  first.answer = "FAILED";
  const [staying, going] = [first, second].map(({ port }) => ({ host: "127.0.0.1", port })) as [
    HostAddress,
    HostAddress,
  ];
  const { list, change } = changingList([staying, going]);
  const observer = { hostFailed: () => change([staying]) };
  const choice = createFailover(true);
  const { route } = routeTo(t, [], { openHosts: () => list, choice, observer });
  await assert.rejects(route.deliver(numberedBatch(1, 1)), { code: "RPC_STATUS_FAILED" });
  await route.stop(now);
  await waitFor("the first to be left", () => first.connectionCount === 0);
  assert.deepEqual([first.asked, second.asked, second.connectionCount], [1, 0, 0]);
});

test("nobody is connected to by a start that a stop has overtaken", async (t) => {
  const { port } = await startSource(t);
  const { list } = changingList([{ host: "127.0.0.1", port }]);
  const { route, counted } = routeTo(t, [], { openHosts: () => list });
  await route.stop(now);
  await route.connect();
  assert.deepEqual([counted.created, counted.failed, route.alive], [0, 0, false]);
  await route.start(new AbortController().signal);
  await route.connect();
  assert.deepEqual([counted.created, route.alive], [1, true]);
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

test("a host whose SRV priority changes is ranked anew, on the connection it has", async (t) => {
  const sources = (await startSources(t, 2)) as [TestSource, TestSource];
  const ranked = (...priorities: number[]): HostAddress[] =>
    sources.map(({ port }, i) => ({ host: "127.0.0.1", port, priority: priorities[i] ?? 0 }));
  const { list, change } = changingList(ranked(10, 20));
  const choice = createLoadBalance(createRoundRobin({ random: noJitter }));
  const { route, counted } = routeTo(t, [], { openHosts: () => list, choice });
  await route.deliver(numberedBatch(1, 1));
  change(ranked(30, 20));
  await route.deliver(numberedBatch(2, 2));
  change(ranked(10, 20));
  await route.deliver(numberedBatch(3, 3));
  assert.deepEqual([sources[0].bodies, sources[1].bodies], [["1", "3"], ["2"]]); // prettier-ignore
  assert.equal(counted.created, 2);
});

test("an address that another name has now is connected to under that name", async (t) => {
  const source = await startSource(t);
  const { port } = source;
  const named = (serverName: string): HostAddress[] => [{ host: "127.0.0.1", port, serverName }];
  const { list, change } = changingList(named("pod-1.example"));
  const tls = {
    includeProtocols: [],
    excludeProtocols: [],
    includeCipherSuites: [],
    excludeCipherSuites: [],
    trustAll: true,
    verifyHostName: true,
  };
  const names: (string | undefined)[] = [];
  const { route } = routeTo(t, [], {
    openHosts: () => list,
    transport: { ...plainClient, tls },
    createClient({ transport, ...options }) {
      names.push(transport?.tls?.serverName);
      return createAvroClient(options);
    },
  });
  await route.deliver(numberedBatch(1, 1));
  change(named("pod-2.example"));
  await source.stop();
  await source.restart();
  await waitFor("the connection to be over", () => !route.alive);
  await route.deliver(numberedBatch(2, 2));
  assert.deepEqual(names, ["pod-1.example", "pod-2.example"]);
});
