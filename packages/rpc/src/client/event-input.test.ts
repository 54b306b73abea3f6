import assert from "node:assert/strict";
import { test } from "node:test";
import { toEventBatch } from "./event-input.ts";

test("an event has the bytes or the text it was given (T152)", () => {
  const bytes = Buffer.from([0, 255, 128]);
  const batch = toEventBatch([{ body: bytes }, { body: "ünï" }, { body: new Uint8Array([7]) }]);
  assert.deepEqual(
    [...batch].map(({ body }) => body),
    [bytes, Buffer.from("ünï"), Buffer.from([7])],
  );
  assert.equal(toEventBatch(batch), batch);
  assert.equal(toEventBatch([]).length, 0);
});

test("headers are a map or a plain object, and any name survives (T153)", () => {
  const parsed = JSON.parse('{"__proto__": "a", "constructor": "b", "": "c"}') as Record<string, string>; // prettier-ignore
  const batch = toEventBatch([
    { body: "", headers: parsed },
    { body: "", headers: new Map([["__proto__", "x"]]) },
    { body: "" },
  ]);
  assert.deepEqual(
    [...batch].map(({ headers }) => [...headers]),
    [[["__proto__", "a"], ["constructor", "b"], ["", "c"]], [["__proto__", "x"]], []], // prettier-ignore
  );
  assert.equal(Object.getPrototypeOf({}), Object.prototype);
  assert.equal(({} as Record<string, string>)["a"], undefined);
});

for (const { name, given, says } of [
  { name: "without a body", given: {}, says: /event 1 .* body is undefined/ },
  { name: "with a number as a header", given: { body: "x", headers: { n: 3 } }, says: /event 1 .* header n is number/ }, // prettier-ignore
]) {
  test(`an event ${name} is EVENT_REJECTED`, () => {
    assert.throws(() => toEventBatch([{ body: "fine" }, given as never]), {
      code: "EVENT_REJECTED",
      message: says,
    });
  });
}
