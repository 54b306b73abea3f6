import { EventBatch, type SelectableSink, systemRuntime } from "@millrace/core";
import { createSeededRandom, partContext } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { sinkSelector } from "./index.ts";

void test("every order of the members comes, about as often as the others", async () => {
  const members: SelectableSink[] = ["a", "b", "c"].map((name) => ({
    ...{ name, available: true, failures: 0, underWay: 0 },
  }));
  const context = partContext({ runtime: { ...systemRuntime, random: createSeededRandom(5) } });
  const select = await sinkSelector.create({}, context);
  const counts = new Map<string, number>();
  for (let i = 0; i < 1200; i++) {
    const order = Array.from(select(members, EventBatch.empty), ({ name }) => name).join("");
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  assert.equal(counts.size, 6);
  for (const [order, count] of counts) assert.ok(count > 130 && count < 270, `${order} ${count}`);
});

void test("who is not available comes behind those that are, and has turns none the less", async () => {
  const members: SelectableSink[] = ["a", "b", "c", "d"].map((name) => ({
    ...{ name, available: name > "b", failures: 0, underWay: 0 },
  }));
  const context = partContext({ runtime: { ...systemRuntime, random: createSeededRandom(5) } });
  const select = await sinkSelector.create({}, context);
  const orders = new Set<string>();
  for (let i = 0; i < 100; i++) {
    orders.add(Array.from(select(members, EventBatch.empty), ({ name }) => name).join(""));
  }
  assert.deepEqual([...orders].sort(), ["cdab", "cdba", "dcab", "dcba"]);
});
