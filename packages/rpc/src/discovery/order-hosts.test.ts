import { createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Host } from "./host-list.ts";
import { distinctHosts, orderHosts, sameHosts } from "./order-hosts.ts";

const hosts = (names: string, extra: Partial<Host> = {}): Host[] =>
  [...names].map((host) => ({ host, port: 1, ...extra }));
const names = (of: readonly Host[]): string => of.map(({ host }) => host).join("");

test("the first order is one of chance, so that not all agents take the same host", () => {
  const random = createSeededRandom(1);
  const first = new Map<string, number>();
  for (let i = 0; i < 3000; i++) {
    const [host] = names(orderHosts(hosts("abc"), [], random));
    first.set(host ?? "", (first.get(host ?? "") ?? 0) + 1);
  }
  for (const count of first.values()) assert.ok(count > 800 && count < 1200, String(count));
  assert.equal(first.size, 3);
});

test("a host keeps its place among those that were there; a new one comes anywhere between", () => {
  const random = createSeededRandom(2);
  const before = hosts("dbca");
  const seen = new Set<string>();
  for (let i = 0; i < 200; i++) {
    const ordered = names(orderHosts(hosts("abcx"), before, random));
    assert.equal(ordered.replace("x", ""), "bca");
    seen.add(ordered);
  }
  assert.deepEqual([...seen].sort(), ["bcax", "bcxa", "bxca", "xbca"]);
});

test("a lower number of priority comes first, whatever was before", () => {
  const random = createSeededRandom(3);
  const found = [...hosts("ab", { priority: 20 }), ...hosts("cd", { priority: 10 })];
  for (let i = 0; i < 50; i++) {
    const ordered = names(orderHosts(found, hosts("abcd"), random));
    assert.equal(ordered, "cdab");
    assert.match(names(orderHosts(found, [], random)), /^[cd]{2}[ab]{2}$/);
  }
});

test("a weight is a share of the first places, and 0 is a small one", () => {
  const random = createSeededRandom(4);
  const found = [
    ...hosts("a", { weight: 3 }),
    ...hosts("b", { weight: 1 }),
    ...hosts("c", { weight: 0 }),
  ];
  const first = { a: 0, b: 0, c: 0 };
  for (let i = 0; i < 6500; i++) {
    const [host] = names(orderHosts(found, [], random));
    first[host as keyof typeof first]++;
  }
  assert.ok(first.a > 4500 && first.a < 5100, JSON.stringify(first));
  assert.ok(first.b > 1400 && first.b < 1800, JSON.stringify(first));
  assert.ok(first.c > 30 && first.c < 200, JSON.stringify(first));
});

test("one host and port is one host, the first of them", () => {
  const found = [...hosts("ab", { weight: 1 }), ...hosts("ac", { weight: 2 })];
  const distinct = distinctHosts(found);
  assert.equal(names(distinct), "abc");
  assert.deepEqual(
    distinct.map(({ weight }) => weight),
    [1, 1, 2],
  );
});

test("lists are the same only with the same hosts in the same order with the same share", () => {
  assert.ok(sameHosts(hosts("ab"), hosts("ab")));
  assert.ok(!sameHosts(hosts("ab"), hosts("ba")));
  assert.ok(!sameHosts(hosts("ab"), hosts("abc")));
  assert.ok(!sameHosts(hosts("a"), hosts("a", { port: 2 })));
  assert.ok(!sameHosts(hosts("a"), hosts("a", { weight: 2 })));
  assert.ok(!sameHosts(hosts("a"), hosts("a", { serverName: "x" })));
});
