import {
  type Channel,
  EventBatch,
  MillraceError,
  type SelectorContext,
  systemClock,
} from "@millrace/core";
import {
  createArrayChannel,
  createSeededRandom,
  numbersOf,
  optionsOf,
  partContext,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { selector } from "./index.ts";
import { options } from "./options.ts";

function selectorContext() {
  const names = ["c1", "c2", "c3", "c4"];
  const channels = new Map(names.map((name) => [name, createArrayChannel(systemClock, { name })]));
  const context = { ...partContext(), name: "r1", channels };
  return context satisfies SelectorContext;
}

/** Events 1, 2, 3 ... with these values of header `to`; undefined for an event without it. */
function batchOf(...values: (string | undefined)[]): EventBatch {
  return EventBatch.fromEvents(
    values.map((value, i) => ({
      headers: new Map([
        ["other", "berlin"],
        ...(value === undefined ? [] : [["to", value] as const]),
      ]),
      body: Buffer.from(String(i + 1)),
    })),
  );
}

async function make(properties: Record<string, string>, context = selectorContext()) {
  return selector.create(optionsOf(options, { header: "to", ...properties }), context);
}

const shown = (routes: ReadonlyMap<Channel, EventBatch>) =>
  Object.fromEntries(Array.from(routes, ([channel, batch]) => [channel.name, numbersOf(batch)]));

const cases = [
  {
    name: "a mapped value requires its channels, and optional ones that are not among them (T057)",
    given: { "mapping.a": "c1 c2", "optional.a": "c1 c3" },
    values: ["a"],
    want: [{ c1: [1], c2: [1] }, { c3: [1] }, 0],
  },
  {
    name: "no header, a blank one and an unmapped value go to the default channels (T058)",
    given: { "mapping.a": "c1", default: "c2  c4", "optional.b": "c3 c4" },
    values: [undefined, "", " ", "b", "a", "A", "a "],
    want: [{ c2: [1, 2, 3, 4, 6, 7], c4: [1, 2, 3, 4, 6, 7], c1: [5] }, { c3: [4] }, 0],
  },
  {
    name: "without a default, mapped values go their way (T059)",
    given: { "mapping.a": "c1", "mapping.b.c": "c2" },
    values: ["a", "b.c"],
    want: [{ c1: [1], c2: [2] }, {}, 0],
  },
  {
    name: "a value that has optional channels only requires the default ones (T060)",
    given: { default: "c1", "optional.a": "c1 c2" },
    values: ["a"],
    want: [{ c1: [1] }, { c2: [1] }, 0],
  },
  {
    name: "with nothing but optional channels, no channel is required (T061)",
    given: { "optional.a": "c1 c2" },
    values: ["a", "b"],
    want: [{}, { c1: [1], c2: [1] }, 1],
  },
  {
    name: "an event that no route takes is unmatched, not silently gone",
    given: { "mapping.a": "c1" },
    values: ["a", "b", undefined, "a", "b"],
    want: [{ c1: [1, 4] }, {}, 3],
  },
  {
    name: "a channel of several values gets their events in the order of the batch",
    given: { "mapping.a": "c1", "mapping.b": "c1 c2", "mapping.c": "c2" },
    values: ["c", "a", "b", "a", "c", "b"],
    want: [{ c2: [1, 3, 5, 6], c1: [2, 3, 4, 6] }, {}, 0],
  },
  {
    name: "a channel may be required for one value and optional for another",
    given: { "mapping.a": "c1", "mapping.b": "c2", "optional.b": "c1" },
    values: ["a", "b"],
    want: [{ c1: [1], c2: [2] }, { c1: [2] }, 0],
  },
];

for (const { name, given, values, want } of cases) {
  void test(name, async () => {
    const routes = (await make(given as Record<string, string>))(batchOf(...values));
    assert.deepEqual([shown(routes.required), shown(routes.optional), routes.unmatched], want);
  });
}

void test("a batch that goes one way is passed on without a copy, shared by its channels", async () => {
  const select = await make({ "mapping.a": "c1 c2", "mapping.b": "c3" });
  const batch = batchOf("a", "a", "a");
  assert.deepEqual(
    [...select(batch).required.values()].map((one) => one === batch),
    [true, true],
  );
  const split = batchOf(..."aaaaaaaabaaaaaaaa");
  const [first, second] = [...select(split).required.values()];
  assert.equal(first, second, "channels with the same events share the cut");
  assert.equal(first?.runs[0]?.slab, split.runs[0]?.slab, "the cut shares the bytes");
  const frayed = select(batchOf(..."abababab")).required;
  assert.deepEqual(
    [...frayed.values()].map((one) => [one.length, one.runs.length]),
    [
      [4, 1],
      [4, 1],
      [4, 1],
    ],
    "small pieces are copied together",
  );
});

void test("a batch in many pieces is routed as one in few is", async () => {
  const random = createSeededRandom(7);
  const values = Array.from({ length: 200 }, () => ["a", "b", "x", undefined][random.integer(4)]);
  const whole = batchOf(...values);
  const pieces = EventBatch.join(Array.from({ length: 200 }, (_, i) => whole.slice(i, i + 1)));
  const select = await make({ "mapping.a": "c1", "mapping.b": "c1 c2", default: "c3" });
  const [want, got] = [select(whole), select(pieces)];
  assert.deepEqual(shown(got.required), shown(want.required));
  const c1 = values.flatMap((value, i) => (value === "a" || value === "b" ? [i + 1] : []));
  assert.deepEqual(shown(got.required)["c1"], c1);
  assert.ok(c1.length > 50);
});

const mistakes = [
  { given: { "mapping.a": "c1 c9" }, key: "selector.mapping.a" },
  { given: { "mapping.a": "c1", default: "c9" }, key: "selector.default" },
  { given: { "mapping.a": "c1", "optional.a.b": "c9" }, key: "selector.optional.a.b" },
];

for (const { given, key } of mistakes) {
  void test(`${key} naming an unknown channel is CONFIG_INVALID by name`, async () => {
    await assert.rejects(make(given as Record<string, string>), (error) => {
      assert.ok(error instanceof MillraceError && error.code === "CONFIG_INVALID");
      assert.ok(error.message.startsWith(`${key} names channel c9`), error.message);
      assert.match(error.message, /c1, c2, c3, c4/);
      assert.equal(error.context["key"], key);
      return true;
    });
  });
}

void test("an empty mapping is CONFIG_INVALID", async () => {
  const values = { ...optionsOf(options, {}), mapping: new Map([["a", " "]]) };
  await assert.rejects(selector.create(values, selectorContext()), /selector.mapping.a names no/);
});

void test("a selector without a default says at start that it will discard", async () => {
  const quiet = selectorContext();
  await make({ "mapping.a": "c1", default: "c2" }, quiet);
  assert.deepEqual(quiet.log.lines, []);
  const loud = selectorContext();
  await make({ "mapping.a": "c1" }, loud);
  assert.match(loud.log.lines[0]?.message ?? "", /r1 discards events whose header to has no map/);
});
