/** The Java interceptor of docs/migrate-from-flume.md and its port give the same events. */
import { EventBatch, silentLog, systemRuntime } from "@millrace/core";
import { createAvroClient } from "@millrace/rpc";
import { freePort, tempDirectory, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { memoryChannel, tierConfig } from "./harness/agent-config.ts";
import { createAnyAgent } from "./harness/any-agent.ts";
import { createCollector } from "./harness/collector.ts";
import { assertSameEvents, event } from "./harness/deck.ts";
import { findFlume } from "./harness/fetch-flume.ts";

const port = join(dirname(fileURLToPath(import.meta.url)), "port", "level-interceptor.ts");
const local = "127.0.0.1";
const lines = [
  "2024-01-01 INFO started",
  "DEBUG noise",
  "an INFORMATION is no level",
  "",
  "WARN and then ERROR: the first counts",
  "ünïcode ERROR 水",
];

void test("a Java interceptor and its TypeScript port make the same of every event", async (t) => {
  const flume = await findFlume(t, "1.11.0");
  if (flume === undefined) return;
  const folder = await tempDirectory(t);
  const outputs = [];
  for (const { kind, type } of [
    { kind: "java", type: "millrace.conformance.LevelInterceptor$Builder" },
    { kind: "ours", type: port },
  ] as const) {
    const collector = await createCollector(t);
    const listen = await freePort();
    const source = {
      type: "avro",
      bind: local,
      port: String(listen),
      interceptors: "level",
      "interceptors.level.type": type,
      "interceptors.level.header": "severity",
      "interceptors.level.dropDebug": "true",
    };
    const sink = { type: "avro", hostname: local, port: String(collector.port) };
    const agent = await createAnyAgent(t, {
      kind,
      flume,
      config: tierConfig(memoryChannel, source, sink),
      configFile: join(folder, `${kind}.conf`),
      listensOn: [listen],
    });
    await agent.start();
    const client = createAvroClient({
      host: local,
      port: listen,
      connectTimeoutMs: 20_000,
      requestTimeoutMs: 20_000,
      maxFrameBytes: 1 << 20,
      clock: systemRuntime.clock,
      log: silentLog,
    });
    await client.connect();
    t.after(() => client.close());
    const events = lines.map((line) => event(line, { host: "h", severity: "old" }));
    await client.appendBatch(EventBatch.fromEvents(events));
    await waitFor("the events", () => collector.events.length >= lines.length - 1, 60_000);
    outputs.push(collector.events);
  }
  const [java = [], ours = []] = outputs;
  assertSameEvents(ours, java);
  const levels = ours.map(({ headers }) => headers.get("severity"));
  assert.deepEqual(levels, ["INFO", "NONE", "NONE", "WARN", "ERROR"]);
});
