import { createFakeClock, settle, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { openDnsFinder, openSrvFinder } from "./dns-finder.ts";
import { type DnsAddress, parseHostAddress, type SrvAddress } from "./host-address.ts";
import type { Resolver } from "./resolver.ts";

const never = new AbortController().signal;
const address = parseHostAddress("dns://collectors:4141") as DnsAddress;

const silent: Resolver = {
  lookup: () => new Promise(() => {}),
  resolve4: () => new Promise(() => {}),
  resolve6: () => new Promise(() => {}),
  resolveSrv: () => new Promise(() => {}),
  cancel() {},
};

test("a lookup that does not end is waited for again, not started again: it holds a thread", async () => {
  const clock = createFakeClock();
  let started = 0;
  let answer: ((addresses: readonly string[]) => void) | undefined;
  const resolver: Resolver = {
    ...silent,
    lookup() {
      started++;
      return new Promise((resolve) => (answer = resolve));
    },
  };
  const finder = openDnsFinder(address, { clock }, resolver);
  for (let i = 0; i < 3; i++) {
    const found = assert.rejects(finder.find(never), { code: "DISCOVERY_FAILED" });
    await clock.advance(10_000);
    await within("the end of waiting", found);
  }
  assert.equal(started, 1);
  const found = finder.find(never);
  await settle();
  answer?.(["10.0.0.1"]);
  assert.deepEqual(await within("the answer", found), [
    { host: "10.0.0.1", port: 4141, serverName: "collectors" },
  ]);
  const next = finder.find(never);
  await settle();
  assert.equal(started, 2);
  answer?.([]);
  await assert.rejects(within("the answer", next), /DNS names no host for collectors/);
  assert.equal(clock.timerCount, 0);
});

test("a lookup that fails late is nobody's unhandled rejection", async () => {
  const clock = createFakeClock();
  let fail: ((error: Error) => void) | undefined;
  const lookup = (): Promise<never> => new Promise((_, reject) => (fail = reject));
  const finder = openDnsFinder(address, { clock }, { ...silent, lookup });
  const stopping = new AbortController();
  const found = assert.rejects(finder.find(stopping.signal), /was given up/);
  await settle();
  stopping.abort();
  await within("the end of waiting", found);
  fail?.(new Error("too late"));
  await settle();
});

test("SRV targets stay names where the system looks them up: connecting asks for their addresses", async () => {
  const srv = parseHostAddress("dns+srv://_m._tcp.c.example.") as SrvAddress;
  const record = { name: "h1.example", port: 1, priority: 5, weight: 2 };
  const resolver = { ...silent, resolveSrv: async () => [record] };
  const finder = openSrvFinder(srv, { clock: createFakeClock() }, resolver);
  assert.deepEqual(await within("the answer", finder.find(never)), [
    { host: "h1.example", port: 1, priority: 5, weight: 2 },
  ]);
});
