/** What the monitoring port shows of the members of both kinds of groups, while one dies and returns. */
import { silentLog, systemClock } from "@millrace/core";
import { createAvroServer, createRpcClient, type EventServer } from "@millrace/rpc";
import { createAgentProcess, freePort, tempDirectory, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";

const never = new AbortController().signal;
const members = ["k1", "k2", "k3", "k4"] as const;

async function collector(t: TestContext, port: number): Promise<EventServer & { events: number }> {
  const counted = { events: 0 };
  const server = createAvroServer({
    ...{ host: "127.0.0.1", port, clock: systemClock, log: silentLog },
    async handler(batch) {
      counted.events += batch.length;
      return "OK";
    },
  });
  await server.start(never);
  t.after(() => server.stop(AbortSignal.abort()));
  return Object.defineProperty(server, "events", { get: () => counted.events }) as never;
}

void test("/metrics shows each member's state, penalty and reason, for failover and load_balance", async (t) => {
  const folder = await tempDirectory(t);
  const port = await freePort();
  const ports = Object.fromEntries(
    await Promise.all(members.map(async (name) => [name, await freePort()] as const)),
  ) as Record<(typeof members)[number], number>;
  const configFile = join(folder, "a1.conf");
  await writeFile(
    configFile,
    `
a1.sources = r
a1.channels = c1 c2
a1.sinks = k1 k2 k3 k4
a1.sinkgroups = g1 g2
a1.sources.r.type = avro
a1.sources.r.bind = 127.0.0.1
a1.sources.r.port = ${port}
a1.sources.r.channels = c1 c2
a1.channels.c1.type = memory
a1.channels.c1.capacity = 10000
a1.channels.c2.type = memory
a1.channels.c2.capacity = 10000
${members
  .map(
    (name) => `
a1.sinks.${name}.type = avro
a1.sinks.${name}.channel = ${name < "k3" ? "c1" : "c2"}
a1.sinks.${name}.hostname = 127.0.0.1
a1.sinks.${name}.port = ${ports[name]}
a1.sinks.${name}.batch-size = 10`,
  )
  .join("\n")}
a1.sinkgroups.g1.sinks = k1 k2
a1.sinkgroups.g1.processor.type = failover
a1.sinkgroups.g1.processor.priority.k1 = 10
a1.sinkgroups.g1.processor.priority.k2 = 5
a1.sinkgroups.g1.processor.maxpenalty = 2000
a1.sinkgroups.g2.sinks = k3 k4
a1.sinkgroups.g2.processor.type = load_balance
a1.sinkgroups.g2.processor.backoff = true
a1.sinkgroups.g2.processor.selector.maxTimeOut = 2000
`,
  );
  const agent = await createAgentProcess(t, { name: "a1", configFile });
  const k2 = await collector(t, ports.k2);
  const k4 = await collector(t, ports.k4);
  await agent.start();
  const client = await createRpcClient({ hosts: "h1", "hosts.h1": `127.0.0.1:${port}` });
  t.after(() => client.close());
  let sent = 0;
  const send = async (): Promise<void> => {
    await client.appendBatch(Array.from({ length: 20 }, () => ({ body: `event ${++sent}` })));
  };
  const scrape = async (): Promise<string> =>
    (await fetch(`http://127.0.0.1:${agent.monitoringPort}/metrics/prometheus`)).text();
  /** The value of the one sample of this name with all these labels; undefined when there is none. */
  const read = (text: string, name: string, ...labels: string[]): number | undefined => {
    const lines = text.split("\n").filter((line) => line.startsWith(`${name}{`));
    const found = lines.find((line) => labels.every((label) => line.includes(label)));
    return found === undefined ? undefined : Number(found.slice(found.lastIndexOf(" ")));
  };
  const stateOf = (text: string, sink: string): string | undefined =>
    ["active", "standby", "penalised", "trial"].find(
      (state) =>
        read(text, "millrace_sink_member_state", `sink="${sink}"`, `state="${state}"`) === 1,
    );

  assert.deepEqual(
    members.map((sink) => stateOf("", sink)),
    [undefined, undefined, undefined, undefined],
  );
  const before = await scrape();
  assert.deepEqual(members.map((sink) => stateOf(before, sink)), ["active", "standby", "active", "active"]); // prettier-ignore

  await waitFor("both groups to have met the dead members", async () => {
    await send();
    const text = await scrape();
    return ["k1", "k3"].every((sink) => stateOf(text, sink) === "penalised");
  });
  const during = await scrape();
  for (const [group, sink] of [
    ["g1", "k1"],
    ["g2", "k3"],
  ] as const) {
    const labels = [`group="${group}"`, `sink="${sink}"`, 'agent="a1"'];
    assert.equal(read(during, "millrace_sink_member_available", ...labels), 0);
    const seconds = read(during, "millrace_sink_member_penalty_seconds", ...labels) ?? -1;
    assert.ok(seconds >= 0 && seconds <= 2, String(seconds));
    const why = [...labels, 'reason="ECONNREFUSED"'];
    assert.equal(read(during, "millrace_sink_member_failing_info", ...why), 1);
    assert.ok((read(during, "millrace_sink_member_failures_total", ...labels) ?? 0) >= 1);
  }
  assert.deepEqual(["k2", "k4"].map((sink) => stateOf(during, sink)), ["active", "active"]); // prettier-ignore

  const k1 = await collector(t, ports.k1);
  const k3 = await collector(t, ports.k3);
  await waitFor("both members to be back", async () => {
    await send();
    const text = await scrape();
    return ["k1", "k3"].every((sink) => stateOf(text, sink) === "active");
  }, 30_000); // prettier-ignore
  const after = await scrape();
  assert.equal(stateOf(after, "k2"), "standby");
  for (const sink of members) {
    assert.equal(read(after, "millrace_sink_member_available", `sink="${sink}"`), 1);
    assert.equal(read(after, "millrace_sink_member_failing_info", `sink="${sink}"`), undefined);
  }
  await waitFor("every event at both groups", () => k1.events + k2.events >= sent && k3.events + k4.events >= sent); // prettier-ignore
  assert.deepEqual([k1.events + k2.events, k3.events + k4.events], [sent, sent]);
  assert.ok(k1.events > 0 && k3.events > 0 && k4.events > 0);
});
