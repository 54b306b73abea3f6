import { MillraceError } from "@millrace/core";
import assert from "node:assert/strict";
import { test } from "node:test";
import { toKafkaError } from "./kafka-error.ts";

/** As kafkajs throws: a wrapper that says how often it tried, around what it got. */
function thrown(name: string, type: string | undefined): Error {
  const inner = Object.assign(new Error("inner"), {
    name,
    ...(type === undefined ? {} : { type }),
  });
  return Object.assign(new Error("gave up", { cause: inner }), {
    name: "KafkaJSNumberOfRetriesExceeded",
  });
}

void test("what kafkajs throws is told apart by its innermost reason", () => {
  const cases = [
    ["KafkaJSProtocolError", "MESSAGE_TOO_LARGE", "KAFKA_RECORD_TOO_LARGE"],
    ["KafkaJSProtocolError", "TOPIC_AUTHORIZATION_FAILED", "KAFKA_REFUSED"],
    ["KafkaJSSASLAuthenticationError", undefined, "KAFKA_REFUSED"],
    ["KafkaJSNotImplemented", undefined, "KAFKA_REFUSED"],
    ["KafkaJSProtocolError", "NOT_LEADER_FOR_PARTITION", "KAFKA_UNAVAILABLE"],
    ["KafkaJSConnectionError", undefined, "KAFKA_UNAVAILABLE"],
  ] as const;
  for (const [name, type, code] of cases) {
    const cause = thrown(name, type);
    const error = toKafkaError(cause, "putting");
    assert.equal(error.code, code, `${name} ${type}`);
    assert.equal(error.cause, cause);
    assert.equal(error.message, `putting: inner${type === undefined ? "" : ` (${type})`}`);
  }
});

void test("an error of ours stays, and what is no error is text", () => {
  const ours = new MillraceError("KAFKA_REFUSED", "x");
  assert.equal(toKafkaError(ours, "putting"), ours);
  assert.equal(toKafkaError("text", "putting").message, "putting: text");
});
