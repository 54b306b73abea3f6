import { parseOptions, systemClock } from "@millrace/core";
import { createGrpcServer } from "@millrace/rpc/grpc";
import {
  createCollectingLog,
  createFakeClock,
  optionsOf,
  sinkContext,
  sinkContract,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { createGrpcSink } from "./grpc-sink.ts";
import { sink as definition } from "./index.ts";
import { checkOptions, options } from "./options.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();

async function listening(test: TestContext): Promise<number> {
  const server = createGrpcServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log: createCollectingLog(),
    handler: () => Promise.resolve("OK"),
  });
  await server.start(never);
  test.after(() => server.stop(now));
  return server.port;
}

/** A server that takes connections and never answers. */
async function silent(test: TestContext): Promise<number> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    socket.resume();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  test.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function sinkTo(test: TestContext, port: number, clock = systemClock) {
  const context = sinkContext({ runtime: { ...sinkContext().runtime, clock } });
  const values = optionsOf(options, { hostname: "127.0.0.1", port: String(port) });
  const sink = createGrpcSink(values, context);
  test.after(() => sink.stop(now));
  return sink;
}

sinkContract("the grpc sink", async (t) => sinkTo(t, await listening(t)), {
  makeStuck: async (t) => sinkTo(t, await silent(t), createFakeClock()),
});

const checks: readonly {
  name: string;
  given: Record<string, string>;
  want: readonly string[];
}[] = [
  { name: "a host and a port", given: { hostname: "h", port: "1" }, want: [] },
  { name: "neither hostname nor hosts", given: {}, want: ["hostname"] },
  { name: "a host without a port", given: { hostname: "h" }, want: ["port"] },
  {
    name: "a client of another wire",
    given: { hosts: "h1", "hosts.h1": "h:1", "client.type": "thrift" },
    want: ["client.type"],
  },
];
for (const { name, given, want } of checks) {
  test(`${name}: check names ${want.join() || "nothing"}`, () => {
    const values = optionsOf(options, given);
    assert.deepEqual(
      checkOptions(values).map(({ key }) => key),
      want,
    );
  });
}

test("the example's options are understood, and its batch size is what the sink takes", () => {
  const properties = new Map(
    [...definition.example.matchAll(/^a1\.sinks\.k1\.(\S+) = (.*)$/gm)]
      .map(([, key, value]) => [key as string, value as string] as const)
      .filter(([key]) => key !== "type" && key !== "channel"),
  );
  const { options: values, problems, unknownKeys } = parseOptions(options, properties);
  assert.deepEqual([problems, unknownKeys], [[], []]);
  assert.equal(definition.batchSize?.(values), 1000);
});
