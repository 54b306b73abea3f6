import { createFakeClock, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test, type TestContext } from "node:test";
import { createAgentWatch } from "./watch-agents.ts";

async function listen(t: TestContext, answer: (path: string) => string | undefined) {
  const server = createServer(({ url = "" }, response) => {
    const body = answer(url);
    if (body !== undefined) response.end(body);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
}

test("rates are of the time between two looks, and an address that finds nobody is unreachable", async (t) => {
  let delivered = 0;
  const agent = await listen(t, () => `millrace_sink_delivered_events_total{component="k"} ${delivered}\n`); // prettier-ignore
  const clock = createFakeClock();
  const missing = [{ address: "dns://x", why: "it finds no agent: ENOTFOUND" }];
  const read = createAgentWatch({ hosts: [agent], missing }, undefined, clock);
  const first = await read();
  assert.deepEqual(
    first.map(({ outPerSecond, severity, why }) => [severity, outPerSecond, why]),
    [
      ["unreachable", undefined, ["it finds no agent: ENOTFOUND"]],
      ["ok", undefined, []],
    ],
  );
  delivered = 30;
  await clock.advance(3000);
  assert.equal((await read())[1]?.outPerSecond, 10);
});

test("all agents are asked at a time: many that do not answer hold nobody up", async (t) => {
  let asked = 0;
  const silent = await listen(t, () => void asked++);
  const hosts = Array.from({ length: 100 }, () => silent);
  const stop = new AbortController();
  const reading = createAgentWatch({ hosts, missing: [] }, stop.signal)();
  const began = performance.now();
  while (asked < hosts.length && performance.now() - began < 30_000) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.equal(asked, hosts.length);
  stop.abort();
  const reports = await within("the end of reading", reading);
  assert.ok(reports.every(({ severity }) => severity === "unreachable"));
});
