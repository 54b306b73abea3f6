import { EventBatch, type SelectableSink } from "@millrace/core";
import { partContext } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { sinkSelector } from "./index.ts";

const group = (available: string, all = "abc"): SelectableSink[] =>
  [...all].map((name) => ({ name, available: available.includes(name), failures: 0, underWay: 0 }));

void test("members have turns in the order of the group, the others follow (T451)", async () => {
  const select = await sinkSelector.create({}, partContext());
  const orders = Array.from({ length: 4 }, () =>
    Array.from(select(group("abc"), EventBatch.empty), ({ name }) => name).join(""),
  );
  assert.deepEqual(orders, ["abc", "bca", "cab", "abc"]);
});

void test("who is not available has no turn, and the one behind it has no second one (T447)", async () => {
  const select = await sinkSelector.create({}, partContext());
  const available = ["ac", "ac", "ac", "abc", "abc", ""];
  const turns = available.map((which) => {
    const members = group(which);
    const order = [...select(members, EventBatch.empty)].map(({ name }) => name);
    assert.equal(order.length, 3);
    if (which !== "") assert.ok(which.includes(order[0] ?? ""), "who has the turn is available");
    return order.find((name) => which.includes(name)) ?? "";
  });
  assert.deepEqual(turns, ["a", "c", "a", "b", "c", ""]);
});
