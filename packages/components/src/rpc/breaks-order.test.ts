import { parseOptions } from "@millrace/core";
import assert from "node:assert/strict";
import { test } from "node:test";
import { sink as avro } from "../sinks/avro/index.ts";
import { options } from "../sinks/avro/options.ts";
import { sink as grpc } from "../sinks/grpc/index.ts";
import { options as grpcOptions } from "../sinks/grpc/options.ts";
import { sink as thrift } from "../sinks/thrift/index.ts";
import { options as thriftOptions } from "../sinks/thrift/options.ts";

for (const { given, want } of [
  { given: { hostname: "a", port: "1" }, want: undefined },
  { given: { "client.type": "default_failover", hosts: "h1 h2" }, want: undefined },
  {
    given: { hostname: "a", port: "1", batchesInFlight: "4" },
    want: "it has up to 4 batches in flight",
  },
  {
    given: { "client.type": "default_loadbalance", hosts: "h1 h2" },
    want: "its batches go to several hosts in turn",
  },
]) {
  test(`a sink with ${JSON.stringify(given)} says of order: ${want ?? "kept"}`, () => {
    const hosts = { "hosts.h1": "a:1", "hosts.h2": "b:1" };
    const all = new Map(Object.entries("hosts" in given ? { ...given, ...hosts } : given));
    const parsed = parseOptions(options, all as ReadonlyMap<string, string>);
    assert.deepEqual(parsed.problems, []);
    assert.equal(avro.breaksOrder?.(parsed.options), want);
  });
}

test("the sinks of all wires say of order what batches in flight do to it", () => {
  const given = new Map(Object.entries({ hostname: "a", port: "1", batchesInFlight: "3" }));
  const says = "it has up to 3 batches in flight";
  assert.equal(grpc.breaksOrder?.(parseOptions(grpcOptions, given).options), says);
  assert.equal(thrift.breaksOrder?.(parseOptions(thriftOptions, given).options), says);
});
