import assert from "node:assert/strict";
import { test } from "node:test";
import { freePort } from "./free-port.ts";

test("no port is given twice, though nothing listens on any yet", async () => {
  const ports = await Promise.all(Array.from({ length: 400 }, () => freePort()));
  assert.equal(new Set(ports).size, ports.length);
});
