import assert from "node:assert/strict";
import { test } from "node:test";
import { readProtocol } from "./protocol.ts";

for (const { value, protocol, isNoted } of [
  { value: "compact", protocol: "compact", isNoted: false },
  { value: "Compact", protocol: "compact", isNoted: false },
  { value: "binary", protocol: "binary", isNoted: false },
  { value: "Binary", protocol: "compact", isNoted: true },
  { value: "BINARY", protocol: "compact", isNoted: true },
  { value: "json", protocol: undefined, isNoted: false },
]) {
  test(`protocol = ${value} is ${protocol ?? "none"}${isNoted ? ", with a note" : ""}, as in Flume`, () => {
    const read = readProtocol(value);
    assert.equal(read.protocol, protocol);
    assert.equal(read.note !== undefined, isNoted);
  });
}
