import type { AgentStatus } from "@millrace/agent";
import { systemRuntime } from "@millrace/core";
import { tempDirectory, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { readSocket, renderDetails, reportOf } from "./read-socket.ts";

const status: AgentStatus = {
  agent: "edge",
  role: "edge",
  version: "0.1.0",
  pid: 7,
  uptimeSeconds: 90,
  state: "running",
  ready: true,
  reason: "ready",
  configurationGeneration: 12,
  paths: ["logs -> disk -> out: at least once"],
  sources: [{ name: "logs", type: "taildir" }],
  channels: [{ name: "disk", type: "file", events: 0, bytes: 0, capacityBytes: 1000 }],
  sinks: [{ name: "out", type: "avro", channel: "disk" }],
};

async function listen(t: TestContext, answer: RequestListener): Promise<string> {
  const path = join(await tempDirectory(t), "agent.sock");
  const server = createServer(answer).listen(path);
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return path;
}

test("the agent's own words are read", async (t) => {
  const path = await listen(t, (_, response) => response.end(JSON.stringify(status)));
  assert.deepEqual(await readSocket(path), status);
});

const drips: RequestListener = (_, response) => {
  const timer = setInterval(() => response.write(" "), 20);
  response.on("close", () => clearInterval(timer));
};
const floods: RequestListener = (_, response) => {
  const more = (): void => {
    while (!response.destroyed && response.write(Buffer.alloc(1 << 20, " ")));
  };
  response.on("drain", more);
  more();
};
const says =
  (code: number, text: string): RequestListener =>
  (_, response) =>
    response.writeHead(code).end(text);

for (const { name, answer, timeoutMs, why } of [
  { name: "never answers", answer: () => {}, timeoutMs: 200, why: /^no answer within 0.2 s$/ },
  {
    name: "answers a byte now and then",
    answer: drips,
    timeoutMs: 300,
    why: /^no answer within 0.3 s$/,
  },
  { name: "answers without end", answer: floods, why: /^its answer is over 16777216 bytes$/ },
  {
    name: "cuts the connection",
    answer: ({ socket }) => socket.destroy(),
    why: /socket hang up|ECONNRESET/,
  },
  {
    name: "answers no JSON",
    answer: says(200, "<html>"),
    why: /no Millrace agent: GET \/status answers 200/,
  },
  { name: "answers null", answer: says(200, "null"), why: /no Millrace agent/ },
  { name: "answers other JSON", answer: says(200, '{"error":"x"}'), why: /no Millrace agent/ },
  {
    name: "knows no such path",
    answer: says(404, JSON.stringify(status)),
    why: /GET \/status answers 404/,
  },
] satisfies { name: string; answer: RequestListener; timeoutMs?: number; why: RegExp }[]) {
  test(`of what ${name} it is said that it is no agent's socket`, async (t) => {
    const read = readSocket(await listen(t, answer), timeoutMs);
    await assert.rejects(within("an answer", read, 30_000), { message: why });
  });
}

test("a socket that is not there is the system's error", async (t) => {
  const path = join(await tempDirectory(t), "none.sock");
  await assert.rejects(readSocket(path), { code: "ENOENT" });
});

test("an agent that is well has nothing to say; details are its state and what its paths guarantee", () => {
  const { address, severity, why } = reportOf(status);
  assert.deepEqual([address, severity, why], ["pid 7", "ok", []]);
  assert.deepEqual(renderDetails(status), [
    "edge: running, up 90 s, Millrace 0.1.0, configuration 12",
    "  logs -> disk -> out: at least once",
  ]);
});

test("a failing sink is told in its own words and since when", () => {
  const sinceMs = systemRuntime.clock.now() - 600_000;
  const lastError = { code: "RPC_CONNECT_FAILED", message: "near:4141: ECONNREFUSED", sinceMs };
  const sinks = [{ name: "out", type: "avro", channel: "disk", lastError }];
  const { severity, why } = reportOf({ ...status, sinks });
  assert.equal(severity, "attention");
  assert.deepEqual(why, ["sink out: RPC_CONNECT_FAILED near:4141: ECONNREFUSED, for 10 m"]);
});

test("a full channel, an old event and an agent that is not ready are told as the metrics tell them", () => {
  const [disk] = status.channels;
  assert.ok(disk !== undefined);
  const full = reportOf({ ...status, channels: [{ ...disk, events: 5, bytes: 960 }] });
  assert.deepEqual([full.severity, full.why], ["full", ["channel disk is full: its sources wait"]]);
  const old = reportOf({ ...status, channels: [{ ...disk, events: 5, oldestAgeSeconds: 901 }] });
  assert.deepEqual(
    [old.severity, old.why],
    ["attention", ["channel disk holds events older than 15 minutes"]],
  );
  const draining = reportOf({ ...status, ready: false, reason: "draining" });
  assert.deepEqual([draining.severity, draining.why], ["not ready", ["draining"]]);
});
