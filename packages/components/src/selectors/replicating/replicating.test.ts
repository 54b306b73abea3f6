import { type Channel, MillraceError, type SelectorContext, systemClock } from "@millrace/core";
import { createArrayChannel, numberedBatch, optionsOf, partContext } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { selector } from "./index.ts";
import { options } from "./options.ts";

const batch = numberedBatch(1, 3);

function contextWith(...names: string[]): SelectorContext {
  const channels = new Map(names.map((name) => [name, createArrayChannel(systemClock, { name })]));
  return { ...partContext(), name: "r1", channels };
}

async function routes(names: string[], optional: string) {
  const properties: Record<string, string> = optional === "" ? {} : { optional };
  const select = await selector.create(optionsOf(options, properties), contextWith(...names));
  return select(batch);
}

const namesOf = (channels: ReadonlyMap<Channel, unknown>) =>
  [...channels.keys()].map((c) => c.name);

const cases = [
  {
    name: "replicating requires every channel, in the order of the source (T062)",
    optional: "",
    want: [["c1", "c2", "c3", "c4"], []],
  },
  {
    name: "an optional channel is not required (T063)",
    optional: "c3",
    want: [["c1", "c2", "c4"], ["c3"]],
  },
  {
    name: "several channels may be optional, separated by any white space (T064)",
    optional: "c3 \t c1",
    want: [
      ["c2", "c4"],
      ["c3", "c1"],
    ],
  },
  {
    name: "a channel named optional twice is optional once (T065)",
    optional: "c3 c3",
    want: [["c1", "c2", "c4"], ["c3"]],
  },
];

for (const { name, optional, want } of cases) {
  void test(name, async () => {
    const given = await routes(["c1", "c2", "c3", "c4"], optional);
    assert.deepEqual([namesOf(given.required), namesOf(given.optional)], want);
    assert.equal(given.unmatched, 0);
    for (const one of [...given.required.values(), ...given.optional.values()]) {
      assert.equal(one, batch, "all share the batch");
    }
  });
}

void test("an optional channel that the source does not have is CONFIG_INVALID by name", async () => {
  await assert.rejects(routes(["c1", "c2"], "c2 c9"), (error) => {
    assert.ok(error instanceof MillraceError && error.code === "CONFIG_INVALID");
    assert.match(error.message, /selector\.optional names channel c9.*source r1: c1, c2/);
    assert.equal(error.context["key"], "selector.optional");
    return true;
  });
});
