import type { Random } from "@millrace/core";
import {
  type CollectingLog,
  createCollectingLog,
  createCollectingMetrics,
  createDnsServer,
  createFakeClock,
  createSeededRandom,
  type DnsServer,
  type FakeClock,
  lifecycleContract,
  settle,
  tempDirectory,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { formatHost } from "./host-address.ts";
import type { Host, HostList, HostListOptions } from "./host-list.ts";
import { openHostList } from "./open-host-list.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const show = (hosts: readonly Host[]): string => hosts.map(formatHost).sort().join(" ");

/** Chance, but for jitter, which neither adds nor takes. */
const seeded = createSeededRandom(7);
const unjittered: Random = {
  ...seeded,
  integer: (below) => (below === 401 ? 200 : seeded.integer(below)),
};

interface Opened {
  readonly list: HostList;
  readonly clock: FakeClock;
  readonly log: CollectingLog;
  readonly metrics: ReturnType<typeof createCollectingMetrics>;
  /** Warnings so far. */
  warnings(): string[];
  /** Questions to DNS that are over, of the first address that is looked up. */
  lookups(result?: "found" | "failed"): number;
}

function opened(
  t: TestContext,
  addresses: readonly string[],
  overrides: Partial<HostListOptions> = {},
): Opened {
  const clock = createFakeClock();
  const log = createCollectingLog();
  const metrics = createCollectingMetrics();
  const random = unjittered;
  const list = openHostList(addresses, { clock, random, log, metrics, ...overrides });
  t.after(() => list.stop(now));
  const warnings = (): string[] =>
    log.lines.filter(({ level }) => level === "warn").map(({ message }) => message);
  const address = addresses.find((text) => text.includes("://")) ?? "";
  const count = (result: string): number =>
    metrics.value("millrace_discovery_lookups_total", { address, result }) ?? 0;
  const lookups = (result?: string): number =>
    result === undefined ? count("found") + count("failed") : count(result);
  return { list, clock, log, metrics, warnings, lookups };
}

async function dns(t: TestContext): Promise<DnsServer> {
  const server = await createDnsServer();
  t.after(() => server.close());
  return server;
}

/** Lets the pause pass, by default the one after an answer, and waits until the next is over. */
async function askAgain({ clock, lookups }: Opened, ms = 30_000): Promise<void> {
  const before = lookups();
  await clock.advance(ms);
  await waitFor("another answer", () => lookups() === before + 1);
}

lifecycleContract("a list of hosts", async (t) => {
  const server = await dns(t);
  server.set("c.test", { addresses: ["10.0.0.1"] });
  return opened(t, ["h1:1", `dns://c.test:2?server=${server.address}`]).list;
});

test("static hosts are there before the start, in their order, each once", async (t) => {
  const { list, clock } = opened(t, ["h2:1", "h1:1", "[::1]:1", "h2:1"], { defaultPort: 9 });
  assert.deepEqual(list.hosts, [
    { host: "h2", port: 1 },
    { host: "h1", port: 1 },
    { host: "::1", port: 1 },
  ]);
  await within("start", list.start(never));
  assert.equal(clock.timerCount, 0);
});

test("a bad address is CONFIG_INVALID before anything is asked", (t) => {
  assert.throws(() => opened(t, ["h1:1", "dsn://c:1"]), { code: "CONFIG_INVALID" });
});

test("a name is all its addresses, and follows them; listeners hear of changes only", async (t) => {
  const server = await dns(t);
  server.set("c.test", { addresses: ["10.0.0.1", "10.0.0.2", "2001:db8::1"] });
  const all = opened(t, ["h1:1", `dns://c.test:4141?server=${server.address}`]);
  const { list } = all;
  await within("start", list.start(never));
  assert.equal(show(list.hosts), "10.0.0.1:4141 10.0.0.2:4141 [2001:db8::1]:4141 h1:1");
  assert.equal(list.hosts[0]?.host, "h1");
  assert.equal(list.hosts[1]?.serverName, "c.test");
  const before = list.hosts;
  let changes = 0;
  const ended = list.onChange(() => changes++);
  await askAgain(all);
  assert.equal(list.hosts, before, "the same answer is no change");
  server.set("c.test", { addresses: ["10.0.0.2", "10.0.0.3"] });
  await askAgain(all);
  assert.equal(changes, 1);
  assert.equal(show(list.hosts), "10.0.0.2:4141 10.0.0.3:4141 h1:1");
  ended();
  server.set("c.test", { addresses: ["10.0.0.3"] });
  await askAgain(all);
  assert.equal(list.hosts.length, 2);
  assert.equal(changes, 1);
});

test("family asks for one kind of address only", async (t) => {
  const server = await dns(t);
  server.set("c.test", { addresses: ["10.0.0.1", "::1"] });
  for (const [family, want] of [
    [4, "10.0.0.1:1"],
    [6, "[::1]:1"],
  ] as const) {
    const address = `dns://c.test:1?family=${family}&server=${server.address}`;
    const { list } = opened(t, [address]);
    await within("start", list.start(never));
    assert.equal(show(list.hosts), want);
  }
});

test("the system's own names are found without a name server", async (t) => {
  const { list } = opened(t, ["dns://localhost?family=4"], { defaultPort: 4141 });
  await within("start", list.start(never));
  assert.equal(show(list.hosts), "127.0.0.1:4141");
});

for (const { fault, says } of [
  { fault: "NXDOMAIN", says: /names no host for c\.test \(ENOTFOUND\)/ },
  { fault: "SERVFAIL", says: /gave no answer for c\.test \(ESERVFAIL\)/ },
  { fault: { addresses: [] }, says: /names no host for c\.test \(ENODATA\)/ },
] as const) {
  const name = typeof fault === "string" ? fault : "an empty answer";
  test(`${name} takes nothing from the list, is one line, counted, and ends with one line`, async (t) => {
    const server = await dns(t);
    server.set("c.test", { addresses: ["10.0.0.1"] });
    const address = `dns://c.test:1?server=${server.address}`;
    const all = opened(t, [address]);
    const { list, metrics, warnings, log } = all;
    const value = (metric: string): number | undefined =>
      metrics.value(`millrace_discovery_${metric}`, { address });
    await within("start", list.start(never));
    server.set("c.test", fault);
    for (const [index, pauseMs] of [30_000, 1000, 2000].entries()) {
      await askAgain(all, pauseMs);
      assert.equal(all.lookups("failed"), index + 1);
    }
    assert.equal(show(list.hosts), "10.0.0.1:1");
    assert.equal(warnings().length, 1);
    assert.match(warnings()[0] ?? "", says);
    assert.match(warnings()[0] ?? "", /what was last known is kept: 10\.0\.0\.1:1$/);
    assert.equal(log.lines.at(-1)?.detail["code"], "DISCOVERY_FAILED");
    assert.equal(value("hosts"), 1);
    assert.equal(value("stale_seconds"), 33);
    server.set("c.test", { addresses: ["10.0.0.1"] });
    await askAgain(all, 4000);
    assert.equal(value("stale_seconds"), 0);
    assert.match(log.lines.at(-1)?.message ?? "", /names again for dns:.*: 10\.0\.0\.1:1$/);
  });
}

test("each question that brings no hosts is told with its address and why", async (t) => {
  const server = await dns(t);
  const address = `dns://c.test:1?server=${server.address}`;
  const told: string[] = [];
  const onFailure = (of: string, { message }: Error): void => void told.push(`${of}: ${message}`);
  const all = opened(t, [address, "10.0.0.1:1"], { onFailure });
  await within("start", all.list.start(never));
  await askAgain(all, 1000);
  const line = `${address}: DNS at ${server.address} names no host for c.test (ENOTFOUND)`;
  assert.deepEqual(told, [line, line]);
});

test("a name server that is silent is given up after ten seconds, and asked again", async (t) => {
  const server = await dns(t);
  server.set("c.test", "silence");
  const all = opened(t, [`dns://c.test:1?server=${server.address}`]);
  const { list, clock, warnings } = all;
  const started = list.start(never);
  await waitFor("a question", () => server.questions > 0);
  await clock.advance(5000);
  await within("a start without an answer", started);
  assert.deepEqual(list.hosts, []);
  await clock.advance(5000);
  await waitFor("the failure", () => warnings().length === 1);
  assert.match(warnings()[0] ?? "", /took over 10 s; no host is known yet; it is asked again/);
  server.set("c.test", { addresses: ["10.0.0.1"] });
  await askAgain(all, 1000);
  await waitFor("the answer", () => list.hosts.length === 1);
});

test("failures are asked again after a second, then twice that, up to the interval", async (t) => {
  const server = await dns(t);
  const address = `dns://c.test:1?family=4&interval=10s&server=${server.address}`;
  const all = opened(t, [address]);
  await within("start", all.list.start(never));
  for (const [index, pauseMs] of [1000, 2000, 4000, 8000, 10_000, 10_000].entries()) {
    assert.equal(all.lookups("failed"), index + 1);
    const asked = server.questions;
    await all.clock.advance(pauseMs - 1);
    assert.equal(server.questions, asked, `not before ${pauseMs} ms`);
    await askAgain(all, 1);
  }
});

test("SRV records bring names, ports, priorities and weights", async (t) => {
  const server = await dns(t);
  const name = "_millrace._tcp.test";
  server.set(name, {
    srv: [
      { name: "far.test", port: 3, priority: 20, weight: 1 },
      { name: "a.test", port: 1, priority: 10, weight: 1 },
      { name: "b.test", port: 2, priority: 10, weight: 3 },
      { name: ".", port: 9, priority: 1, weight: 1 },
      { name: "dead.test", port: 4, priority: 10, weight: 1 },
    ],
  });
  for (const host of ["a", "b", "far"]) {
    server.set(`${host}.test`, { addresses: [`10.0.0.${host.length}`] });
  }
  server.set("b.test", { addresses: ["10.0.0.2", "::2"] });
  const { list } = opened(t, [`dns+srv://${name}?server=${server.address}`]);
  await within("start", list.start(never));
  const { length } = list.hosts;
  assert.equal(length, 4);
  assert.deepEqual(list.hosts[length - 1], {
    host: "10.0.0.3",
    port: 3,
    priority: 20,
    weight: 1,
    serverName: "far.test",
  });
  assert.equal(show(list.hosts), "10.0.0.1:1 10.0.0.2:2 10.0.0.3:3 [::2]:2");
  assert.deepEqual(
    new Set(list.hosts.map(({ priority, weight }) => `${priority} ${weight}`)),
    new Set(["10 1", "10 3", "20 1"]),
  );
});

test("SRV records whose targets nobody knows take nothing from the list", async (t) => {
  const server = await dns(t);
  const srv = [{ name: "a.test", port: 1, priority: 0, weight: 0 }];
  server.set("_m._tcp.test", { srv });
  server.set("a.test", { addresses: ["10.0.0.1"] });
  const address = `dns+srv://_m._tcp.test?server=${server.address}`;
  const all = opened(t, [address]);
  await within("start", all.list.start(never));
  server.set("a.test", "NXDOMAIN");
  await askAgain(all);
  await waitFor("the failure", () => all.warnings().length === 1);
  server.set("_m._tcp.test", { srv: [{ name: ".", port: 0, priority: 0, weight: 0 }] });
  await askAgain(all, 1000);
  assert.equal(all.lookups("failed"), 2);
  assert.equal(show(all.list.hosts), "10.0.0.1:1");
});

test("a start that is aborted is START_ABORTED, and nothing is asked any more", async (t) => {
  const server = await dns(t);
  server.set("c.test", "silence");
  const { list, clock } = opened(t, [`dns://c.test:1?server=${server.address}`]);
  const aborting = new AbortController();
  const started = list.start(aborting.signal);
  await waitFor("a question", () => server.questions > 0);
  aborting.abort();
  await assert.rejects(within("start", started), { code: "START_ABORTED" });
  assert.equal(clock.timerCount, 0);
});

test("a stop ends a question that is under way", async (t) => {
  const server = await dns(t);
  server.set("c.test", "silence");
  const { list, clock } = opened(t, [`dns://c.test:1?server=${server.address}`]);
  void list.start(never);
  await waitFor("a question", () => server.questions > 0);
  await within("stop", list.stop(never));
  assert.equal(clock.timerCount, 0);
});

test("past hostsMax the rest is left out, and said once", async (t) => {
  const { list, warnings } = opened(t, ["a:1", "b:1", "c:1"], { hostsMax: 2 });
  assert.equal(show(list.hosts), "a:1 b:1");
  assert.deepEqual(warnings(), ["3 hosts were found; the first 2 are used"]);
});

test("with a cache the last known hosts survive a restart without DNS", async (t) => {
  const server = await dns(t);
  server.set("c.test", { addresses: ["10.0.0.1", "10.0.0.2"] });
  const cache = join(await tempDirectory(t), "hosts.json");
  const address = `dns://c.test:1?server=${server.address}&cache=${cache}`;
  const first = opened(t, [address]);
  await within("start", first.list.start(never));
  await within("stop", first.list.stop(never));
  assert.equal(JSON.parse(await readFile(cache, "utf8")).version, 1);
  server.set("c.test", "SERVFAIL");
  const second = opened(t, [address]);
  await within("start", second.list.start(never));
  assert.deepEqual(second.list.hosts, first.list.hosts, "the order is kept, too");
  await waitFor("the failure", () => second.warnings().length === 1);
  assert.match(second.warnings()[0] ?? "", /what was last known is kept/);
  const other = opened(t, [`${address}&interval=9s`]);
  await within("start", other.list.start(never));
  assert.deepEqual(other.list.hosts, [], "another address does not believe it");
});

for (const content of ["{", "[]", `{"version":2}`, `{"version":1,"address":"x","hosts":[{}]}`]) {
  test(`a cache that holds ${content} is said and replaced`, async (t) => {
    const server = await dns(t);
    const cache = join(await tempDirectory(t), "hosts.json");
    await writeFile(cache, content);
    server.set("c.test", { addresses: ["10.0.0.1"] });
    const all = opened(t, [`dns://c.test:1?server=${server.address}&cache=${cache}`]);
    await within("start", all.list.start(never));
    assert.match(all.warnings()[0] ?? "", /hosts\.json is not used: .* holds no hosts in the form/);
    await waitFor("the cache", async () => (await readFile(cache, "utf8")).includes("10.0.0.1"));
  });
}

test("a cache of over a MiB is not read", async (t) => {
  const cache = join(await tempDirectory(t), "hosts.json");
  await writeFile(cache, " ".repeat(1024 * 1024 + 1));
  const server = await dns(t);
  const { list, warnings } = opened(t, [`dns://c.test:1?server=${server.address}&cache=${cache}`]);
  await within("start", list.start(never));
  assert.match(warnings()[0] ?? "", /is not used/);
});

test("a cache that cannot be written is one line, and the list goes on", async (t) => {
  const server = await dns(t);
  server.set("c.test", { addresses: ["10.0.0.1"] });
  const all = opened(t, [`dns://c.test:1?server=${server.address}&cache=/no/such/place/h.json`]);
  await within("start", all.list.start(never));
  server.set("c.test", { addresses: ["10.0.0.2"] });
  await askAgain(all);
  await waitFor("the new list", () => show(all.list.hosts) === "10.0.0.2:1");
  await settle();
  assert.equal(all.warnings().length, 1);
  assert.match(all.warnings()[0] ?? "", /cannot keep the hosts in \/no\/such\/place\/h\.json/);
});
