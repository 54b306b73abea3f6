import assert from "node:assert/strict";
import { test } from "node:test";
import { errorTable } from "./error-table.ts";
import {
  DeliveryError,
  MillraceError,
  systemErrorCode,
  toMillraceError,
} from "./millrace-error.ts";

void test("an error says by its code what the caller does next", () => {
  assert.equal(new MillraceError("CHANNEL_FULL", "c1").answer, "retry");
  assert.equal(new MillraceError("EVENT_MALFORMED", "byte 3").answer, "reject");
  assert.equal(new MillraceError("CHANNEL_FAILED", "c1").answer, "fatal");
});

void test("an error of ours is handed on as it is", () => {
  const ours = new DeliveryError("SINK_WRITE_FAILED", "in part");
  assert.equal(toMillraceError(ours, "UNEXPECTED", "around"), ours);
});

void test("anything else is wrapped once, with its cause and what it said", () => {
  const cause = new TypeError("x is not a function");
  const wrapped = toMillraceError(cause, "WRITE_FAILED", "segment 7");
  assert.equal(wrapped.code, "WRITE_FAILED");
  assert.equal(wrapped.message, "segment 7: x is not a function");
  assert.equal(wrapped.cause, cause);
  assert.equal(toMillraceError(wrapped), wrapped);
  for (const thrown of ["text", 5, null, undefined, { message: "not an error" }]) {
    const error = toMillraceError(thrown);
    assert.equal(error.code, "UNEXPECTED");
    assert.equal(error.message, String(thrown));
  }
});

void test("a delivery error tells what is settled, rejected and left", () => {
  const bare = new DeliveryError("RPC_TIMEOUT", "20 s");
  assert.deepEqual([bare.settled, bare.rejected, bare.retryAfterMs], [[], [], undefined]);
  const cause = new Error("ECONNRESET");
  const full = new DeliveryError("RPC_TIMEOUT", "20 s", {
    settled: [{ from: 0, to: 2 }],
    rejected: [{ from: 4, to: 5 }],
    retryAfterMs: 500,
    context: { host: "h1" },
    cause,
  });
  assert.ok(full instanceof MillraceError);
  assert.deepEqual(full.settled, [{ from: 0, to: 2 }]);
  assert.deepEqual(full.rejected, [{ from: 4, to: 5 }]);
  assert.equal(full.retryAfterMs, 500);
  assert.deepEqual(full.context, { host: "h1" });
  assert.equal(full.cause, cause);
});

void test("a system error is known by its code", () => {
  assert.equal(systemErrorCode(Object.assign(new Error("x"), { code: "ENOENT" })), "ENOENT");
  assert.equal(systemErrorCode(Object.assign(new Error("x"), { code: 5 })), "");
  assert.equal(systemErrorCode(new Error("x")), "");
  assert.equal(systemErrorCode("ENOENT"), "");
});

void test("every row of the table says what happened and what to do, as sentences", () => {
  assert.ok(Object.keys(errorTable).length > 20);
  for (const [code, { answer, says, todo }] of Object.entries(errorTable)) {
    assert.match(code, /^[A-Z]+(_[A-Z]+)*$/);
    assert.match(answer, /^(retry|reject|fatal)$/);
    for (const sentence of [says, todo]) assert.match(sentence, /^[A-Z`].*\.$/, code);
  }
});
