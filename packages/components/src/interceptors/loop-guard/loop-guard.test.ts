import { EventBatch, type InterceptBatch, MillraceError, systemRuntime } from "@millrace/core";
import { createFakeClock, optionsOf, partContext } from "@millrace/testing";
import assert from "node:assert/strict";
import { hostname } from "node:os";
import { test } from "node:test";
import { identityOf } from "./identity.ts";
import { interceptor } from "./index.ts";
import { options } from "./options.ts";

const clock = createFakeClock();

async function guard(identity: string, onLoop = "refuse") {
  const context = partContext({ source: "in", runtime: { ...systemRuntime, clock } });
  const made = await interceptor.create(optionsOf(options, { identity, onLoop }), context);
  assert.ok(typeof made === "function");
  const intercept = (...vias: (string | undefined)[]): string[] =>
    waysOf(made(batchOf(...vias)) as EventBatch);
  return { made: made as InterceptBatch, context, intercept };
}

function batchOf(...vias: (string | undefined)[]): EventBatch {
  return EventBatch.fromEvents(
    vias.map((via, i) => ({
      headers: new Map(via === undefined ? [["n", `${i}`]] : [["n", `${i}`], ["millrace.via", via]]), // prettier-ignore
      body: Buffer.from("x"),
    })),
  );
}

/** "number:way" of each event. */
function waysOf(batch: EventBatch): string[] {
  return [...batch].map(({ headers }) => `${headers.get("n")}:${headers.get("millrace.via")}`);
}

void test("each source an event passes adds its name behind those before", async () => {
  const a = await guard("a");
  const b = await guard("b");
  const passed = b.made(a.made(batchOf(undefined, "x/a1/in")) as EventBatch) as EventBatch;
  assert.deepEqual(waysOf(passed), ["0:a/a1/in,b/a1/in", "1:x/a1/in,a/a1/in,b/a1/in"]);
});

void test("long stretches and single events of many ways get the same header", async () => {
  const { intercept } = await guard("a");
  const long = Array.from({ length: 100 }, (_, i) => (i < 40 ? "x" : i < 80 ? undefined : "y"));
  assert.deepEqual(
    intercept(...long),
    long.map((via, i) => `${i}:${via === undefined ? "" : `${via},`}a/a1/in`),
  );
  const mixed = Array.from({ length: 30 }, (_, i) => `w${i % 7}`);
  assert.deepEqual(
    intercept(...mixed),
    mixed.map((via, i) => `${i}:${via},a/a1/in`),
  );
});

void test("a batch with an event that was here before is refused whole as EVENT_LOOP", async () => {
  const { made, context } = await guard("a");
  const batch = batchOf(undefined, "edge,a/a1/in,b/b1/in", "b/b1/in");
  assert.throws(
    () => made(batch),
    (error) => {
      assert.ok(error instanceof MillraceError);
      assert.equal(error.code, "EVENT_LOOP");
      assert.equal(error.answer, "reject");
      assert.match(error.message, /in a ring, a\/a1\/in -> b\/b1\/in -> a\/a1\/in: take one/);
      return true;
    },
  );
  assert.equal(context.metrics.value("millrace_loop_refused_events_total"), 3);
  assert.equal(made.discards, undefined);
});

void test("a name is compared as a whole", async () => {
  const { intercept } = await guard("a");
  assert.equal(intercept("aa/a1/in", "a/a1/in2", "x/a/a1/in").length, 3);
});

void test("with onLoop = discard only the looped events are left out, counted as a loss", async () => {
  const { made, intercept } = await guard("a", "discard");
  assert.deepEqual(made.discards, { reason: "loop", intended: false });
  assert.deepEqual(intercept("x", "a/a1/in,x", "y"), ["0:x,a/a1/in", "2:y,a/a1/in"]);
  assert.deepEqual(intercept("a/a1/in", "a/a1/in", "a/a1/in"), []);
  const long = Array.from({ length: 20 }, (_, i) => (i < 10 ? "a/a1/in" : "y"));
  assert.equal(intercept(...long).length, 10);
});

void test("the ring is named once a minute, with the events since", async () => {
  const { made, context } = await guard("a");
  for (let i = 0; i < 5; i++) assert.throws(() => made(batchOf("a/a1/in,b/b1/in")));
  assert.equal(context.log.lines.length, 1);
  assert.match(context.log.lines[0]?.message ?? "", /ring, a\/a1\/in -> b\/b1\/in -> a\/a1\/in/);
  await clock.advance(60_000);
  assert.throws(() => made(batchOf("a/a1/in,b/b1/in")));
  assert.equal(context.log.lines[1]?.detail["events"], 5);
});

void test("what a sender wrote is not repeated at length, nor taken apart", async () => {
  const { made, context, intercept } = await guard("a");
  const long = "x".repeat(1_000_000);
  const shown =
    /^agents are wired in a ring, a\/a1\/in -> x{200}\.\.\.( -> b){8} -> more -> a\/a1\/in: take/;
  assert.throws(() => made(batchOf(`a/a1/in,${long}${",b".repeat(999)}`)), { message: shown });
  assert.match(context.log.lines[0]?.message ?? "", /in a ring, .{1,900}; such batches/);
  assert.ok((context.log.lines[0]?.message.length ?? 0) < 1000);
  const commas = ",".repeat(1_000_000);
  assert.deepEqual(intercept(commas), [`0:${commas},a/a1/in`]);
  assert.throws(() => made(batchOf(`${commas}a/a1/in`)), { code: "EVENT_LOOP" });
});

const identities = [
  { name: "the pod", environment: { POD_NAMESPACE: "logging", POD_NAME: "edge-7" }, want: "logging/edge-7/a1/in" }, // prettier-ignore
  {
    name: "the pod without its namespace",
    environment: { POD_NAME: "edge-7" },
    want: "edge-7/a1/in",
  },
  { name: "the host", environment: {}, want: `${hostname()}/a1/in` },
  {
    name: "what is given",
    given: "me, here",
    environment: { POD_NAME: "p" },
    want: "me_ here/a1/in",
  },
];
for (const { name, given, environment, want } of identities) {
  void test(`a source is known by ${name}, with its agent and its own name`, () => {
    assert.equal(identityOf(given, { agent: "a1", source: "in" }, environment), want);
  });
}
