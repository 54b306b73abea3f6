/** Collectors are replaced and taken away while edges send: nothing is missing at the end. */
import { type AgentProcess, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createCollectors } from "./collectors.ts";

/** As terminationGracePeriodSeconds is made: what the words allow, and 30 s. */
const words = {
  "millrace.drainSeconds": 4,
  "millrace.handOverSeconds": 10,
  "millrace.lockWaitSeconds": 44,
};
const graceMs = 44_000;

async function endsInOrder(collector: AgentProcess): Promise<void> {
  assert.deepEqual(await collector.kill("SIGTERM", graceMs), { code: 0, signal: null });
}

void test("a rolling restart and a scale-down from three to two lose nothing under load", async (t) => {
  const fleet = await createCollectors(t, { collectors: 3, edges: 2, defines: words });
  const { oracle, writer, collectors, edges } = fleet;
  fleet.name([1, 2, 3]);
  await Promise.all([...collectors, ...edges].map((agent) => agent.start()));
  writer.start();
  await oracle.progress(300, 60_000);
  for (const number of [3, 2, 1]) {
    const collector = collectors[number - 1] as AgentProcess;
    await endsInOrder(collector);
    oracle.fault("restart of a collector");
    // The last one comes back with a store that does not answer, and fills its channel.
    if (number === 3) await fleet.configure(3, "stuck");
    await collector.start();
    await oracle.progress(100, 60_000);
  }
  const third = collectors[2] as AgentProcess;
  const held = async (): Promise<boolean> =>
    Number((await third.metrics())["CHANNEL.disk"]?.["ChannelSize"]) > 50;
  await waitFor("the third to hold events", held, 60_000);
  await endsInOrder(third);
  oracle.fault("a collector scaled away");
  fleet.name([1, 2]);
  assert.match(third.output(), /events? \(.*\) of channel disk were handed over to a sibling/);
  assert.match(third.output(), new RegExp(`nothing remains in ${fleet.channelOf(3)}`));

  oracle.faultsEnded();
  await oracle.progress(300, 60_000);
  await writer.stop();
  await oracle.settled(60_000);
  const report = await oracle.check({ lines: 800, faults: 4, duplicates: 0, tornLinesMax: 0, anyOrder: true }); // prettier-ignore
  t.diagnostic(report.text);
});

void test("a scale-down while every store is stuck loses nothing: what is left goes to siblings that are stuck too", async (t) => {
  const fleet = await createCollectors(t, { collectors: 3, edges: 2, defines: words });
  const { oracle, writer, collectors, edges } = fleet;
  for (const number of [1, 2, 3]) await fleet.configure(number, "stuck");
  fleet.name([1, 2, 3]);
  await Promise.all([...collectors, ...edges].map((agent) => agent.start()));
  writer.start();
  const third = collectors[2] as AgentProcess;
  const held = async (): Promise<boolean> =>
    Number((await third.metrics())["CHANNEL.disk"]?.["ChannelSize"]) > 200;
  await waitFor("the third to hold events", held, 60_000);
  await endsInOrder(third);
  oracle.fault("a collector scaled away");
  fleet.name([1, 2]);
  assert.match(third.output(), /events? \(.*\) of channel disk were handed over to a sibling/);
  await oracle.update();
  assert.equal(oracle.judge.totals().distinct, 0, "no store has taken anything");

  await fleet.startStore();
  oracle.faultsEnded();
  await oracle.progress(300, 60_000);
  await writer.stop();
  await oracle.settled(60_000);
  const report = await oracle.check({ lines: 300, faults: 1, duplicates: 0, tornLinesMax: 0, anyOrder: true }); // prettier-ignore
  t.diagnostic(report.text);
});

void test("a successor waits for the directory that its predecessor still drains, and says so", async (t) => {
  const fleet = await createCollectors(t, { collectors: 1, edges: 1, defines: words });
  const { oracle, writer, edges, collectors: [first] } = fleet; // prettier-ignore
  assert.ok(first !== undefined);
  await fleet.configure(1, "stuck");
  fleet.name([1]);
  await Promise.all([first.start(), edges[0]?.start()]);
  await writer.write(200);
  const held = async (): Promise<boolean> =>
    Number((await first.metrics())["CHANNEL.disk"]?.["ChannelSize"]) === 200;
  await waitFor("the events to be held", held, 60_000);

  const impatient = await fleet.successorOf(1);
  const given = assert.rejects(impatient.start(), /ended while starting/);
  await waitFor("it to wait", () => impatient.output().includes("waiting up to 44 s"), 30_000);
  const reason = await (
    await fetch(`http://127.0.0.1:${impatient.monitoringPort}/startedz`)
  ).text();
  assert.match(reason, /^starting: another channel or agent, process \d+ on .*, holds /);
  const before = performance.now();
  assert.deepEqual(await impatient.kill("SIGTERM"), { code: 0, signal: null });
  assert.ok(performance.now() - before < 44_000, "it does not wait to the end");
  await given;
  assert.ok(first.running, "who waits in vain takes nothing away");

  await fleet.configure(1, "works");
  const next = await fleet.successorOf(1);
  const started = next.start();
  await waitFor("it to wait", () => next.output().includes("waiting up to 44 s"), 30_000);
  await endsInOrder(first);
  oracle.fault("SIGTERM with a successor");
  await started;
  oracle.faultsEnded();
  await writer.write(50);
  await oracle.settled(60_000);
  const report = await oracle.check({ lines: 250, faults: 1, duplicates: 0, tornLinesMax: 0 });
  t.diagnostic(report.text);
});
