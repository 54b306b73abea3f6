import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { isKnownHash, protocolHash, protocolText } from "./protocol.ts";

test("the protocol is the one that proto/flume.avpr describes", () => {
  const path = new URL("../../../../proto/flume.avpr", import.meta.url);
  assert.deepEqual(JSON.parse(protocolText), JSON.parse(readFileSync(path, "utf8")));
});

test("our text has the hash that Java gives the protocol without its comment", () => {
  assert.equal(protocolHash.toString("hex"), "30da54059df72d9584b867d5202e2069");
  assert.ok(isKnownHash(protocolHash));
  assert.ok(!isKnownHash(Buffer.alloc(16)));
});
