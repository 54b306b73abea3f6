import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { EventBatch } from "./event-batch.ts";
import type { Ranges } from "./ranges.ts";

const numRuns = Number(process.env["SEEDS"] ?? 300);

/** What the model knows of an event. */
interface Known {
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  /** Its sequence in run `r`; undefined once something was changed. */
  readonly sequence: number | undefined;
}

const word = fc.oneof(
  fc.constantFrom("a", "b", "", "__proto__", "constructor", "größe"),
  fc.string({ unit: "binary", maxLength: 6 }),
);
const given = fc.record({
  headers: fc.uniqueArray(fc.tuple(word, word), { selector: ([name]) => name, maxLength: 3 }),
  body: fc.oneof(
    fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes).toString("hex")),
    fc.constant("ff".repeat(700)),
  ),
});

type Given = { headers: [string, string][]; body: string };
type Step =
  | { what: "slice"; a: number; b: number }
  | { what: "select" | "filter"; mask: boolean[] }
  | { what: "map"; mask: boolean[] }
  | { what: "copy" | "compact" | "rescan" | "array" }
  | { what: "join"; before: Given[]; after: Given[] };

const mask = fc.array(fc.boolean(), { minLength: 1, maxLength: 12 });
const events = fc.array(given as fc.Arbitrary<Given>, { maxLength: 8 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ what: fc.constant("slice" as const), a: fc.nat(), b: fc.nat() }),
  fc.record({ what: fc.constantFrom("select" as const, "filter" as const), mask }),
  fc.record({ what: fc.constant("map" as const), mask }),
  fc.record({
    what: fc.constantFrom("copy" as const, "compact" as const, "rescan" as const, "array" as const),
  }),
  fc.record({ what: fc.constant("join" as const), before: events, after: events }),
);

/** A batch with origin `r`, its slab in the middle of a larger buffer, as pooled ones are. */
function make(list: readonly Given[], sequence: number): { batch: EventBatch; known: Known[] } {
  const plain = EventBatch.fromEvents(
    list.map(({ headers, body }) => ({
      headers: new Map(headers),
      body: Buffer.from(body, "hex"),
    })),
  );
  const bytes = Buffer.concat(plain.gather());
  const pool = Buffer.concat([Buffer.alloc(11, 0xee), bytes, Buffer.alloc(5, 0xee)]);
  const slab = pool.subarray(4, pool.length - 2);
  const batch = EventBatch.scan(slab, 7, 7 + bytes.length, list.length, { run: "r", sequence });
  return { batch, known: list.map((event, i) => ({ ...event, sequence: sequence + i })) };
}

const rangesOf = (mask: readonly boolean[], length: number): Ranges =>
  Array.from({ length }, (_, i) => i)
    .filter((i) => mask[i % mask.length] === true)
    .map((i) => ({ from: i, to: i + 1 }));

function apply(
  batch: EventBatch,
  known: Known[],
  step: Step,
): { batch: EventBatch; known: Known[] } {
  switch (step.what) {
    case "slice": {
      const a = step.a % (known.length + 1);
      const b = step.b % (known.length + 1);
      const [from, to] = a < b ? [a, b] : [b, a];
      return { batch: batch.slice(from, to), known: known.slice(from, to) };
    }
    case "select": {
      const ranges = rangesOf(step.mask, known.length);
      return { batch: batch.select(ranges), known: ranges.map(({ from }) => known[from] as Known) };
    }
    case "filter": {
      const keep = (_: unknown, i: number): boolean => step.mask[i % step.mask.length] === true;
      return { batch: batch.filter(keep), known: known.filter(keep) };
    }
    case "map": {
      const keep = (i: number): boolean => step.mask[i % step.mask.length] === true;
      const headers = new Map([["changed", "yes"]]);
      return {
        batch: batch.map((event, i) => (keep(i) ? { headers, body: event.body } : undefined)),
        known: known
          .filter((_, i) => keep(i))
          .map(({ body }) => ({ headers: [...headers], body, sequence: undefined })),
      };
    }
    case "copy":
      return { batch: batch.copy(), known };
    case "compact":
      return { batch: batch.compact(), known };
    case "rescan": {
      const bytes = Buffer.concat(batch.gather());
      return { batch: EventBatch.scan(bytes, 0, bytes.length, batch.length), known };
    }
    case "array": {
      const bytes = Buffer.concat([
        ...Array.from({ length: batch.length }, (_, i) => [
          Buffer.from([2]),
          batch.bytesAt(i),
        ]).flat(),
        Buffer.from([0]),
      ]);
      return { batch: EventBatch.scanArray(bytes, 0, bytes.length), known };
    }
    case "join": {
      const before = make(step.before, 500);
      const last = known.at(-1)?.sequence ?? 0;
      const after = make(step.after, last + 1);
      return {
        batch: EventBatch.join([before.batch, batch, EventBatch.empty, after.batch]),
        known: [...before.known, ...known, ...after.known],
      };
    }
  }
}

/** Every way to look at a batch tells the same as the model. */
function check(batch: EventBatch, known: readonly Known[]): void {
  assert.equal(batch.length, known.length);
  const seen = Array.from(batch, ({ headers, body }) => [[...headers], body.toString("hex")]);
  assert.deepEqual(seen, known.map(({ headers, body }) => [[...headers], body])); // prettier-ignore
  // Backwards and forwards: finding an event remembers where it was.
  const indexes = [...known.keys()];
  for (const i of [...indexes.toReversed(), ...indexes]) {
    const { headers, body } = known[i] as Known;
    assert.equal(batch.at(i).body.toString("hex"), body);
    assert.deepEqual([...batch.at(i).headers], [...headers]);
    for (const [name, value] of headers) {
      assert.equal(batch.headerAt(i, Buffer.from(name)), value);
    }
    assert.equal(batch.headerAt(i, Buffer.from("no such header")), undefined);
  }
  const bytes = Buffer.concat(indexes.map((i) => batch.bytesAt(i)));
  assert.deepEqual(Buffer.concat(batch.gather()), bytes);
  assert.equal(batch.byteLength, bytes.length);
  const slabs = new Set(batch.runs.map(({ slab }) => slab));
  assert.equal(batch.heldBytes, [...slabs].reduce((sum, slab) => sum + slab.length, 0)); // prettier-ignore
  if (batch.origin !== undefined) {
    const { run, sequence } = batch.origin;
    assert.equal(run, "r");
    known.forEach((event, i) =>
      assert.equal(event.sequence, sequence + i, "origin of every event"),
    );
  }
}

void test("a batch is what an array of events is, after any steps", () => {
  let steps = 0;
  fc.assert(
    fc.property(events, fc.array(step, { maxLength: 8 }), (start, program) => {
      let state = make(start, 1);
      check(state.batch, state.known);
      for (const one of program) {
        const before = Buffer.concat(state.batch.gather());
        const next = apply(state.batch, state.known, one);
        check(next.batch, next.known);
        assert.deepEqual(Buffer.concat(state.batch.gather()), before, "a batch never changes");
        state = next;
        steps++;
      }
    }),
    { numRuns },
  );
  assert.ok(steps > numRuns, `${steps} steps`);
});
