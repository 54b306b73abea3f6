/** What a collector that ends still holds goes to its siblings, or stays and is said. */
import { createTestAuthority, tempDirectory, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { type Collectors, collectorsName, createCollectors } from "./collectors.ts";

const lines = 400;

/** Has so many lines acknowledged by the collectors that are named. */
async function send({ writer, oracle }: Collectors, count: number): Promise<void> {
  await writer.write(count);
  const acknowledged = async (): Promise<boolean> => {
    await oracle.update();
    return oracle.judge.totals().acknowledged === oracle.judge.totals().issued;
  };
  await waitFor(`${count} lines to be acknowledged`, acknowledged, 60_000);
}

async function get(port: number, path: string): Promise<[number, string]> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  return [response.status, (await response.text()).trim()];
}

async function refuses(host: string, port: number): Promise<boolean> {
  const socket = connect(port, host);
  try {
    await once(socket, "connect");
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ECONNREFUSED";
  } finally {
    socket.destroy();
  }
}

async function tls(t: TestContext): Promise<{ sourceLines: string; sinkLines: string }> {
  const folder = await tempDirectory(t);
  const authority = createTestAuthority();
  const { keyPem, certificatePem } = authority.issue({
    commonName: "collector",
    hosts: [collectorsName],
  });
  const files = { ca: authority.certificatePem, crt: certificatePem, key: keyPem };
  for (const [name, pem] of Object.entries(files)) await writeFile(join(folder, name), pem);
  const linesOf = (at: string): string => `
${at}.ssl = true
${at}.keystore = ${folder}/crt
${at}.keystore-key = ${folder}/key
${at}.keystore-type = PEM
${at}.truststore = ${folder}/ca
${at}.truststore-type = PEM
`;
  const clientAuth = "collector.sources.in.clientAuth = required";
  return {
    sourceLines: linesOf("collector.sources.in") + clientAuth,
    sinkLines: linesOf("edge.sinks.out"),
  };
}

void test("a collector that ends refuses, drains, and hands over the rest, with the TLS of its own source", async (t) => {
  const fleet = await createCollectors(t, {
    collectors: 2,
    edges: 1,
    defines: { "millrace.drainSeconds": 10 },
    ...(await tls(t)),
  });
  const { oracle, edges, collectors: [first, second], port } = fleet; // prettier-ignore
  assert.ok(first !== undefined && second !== undefined);
  await fleet.configure(1, "stuck");
  fleet.name([1]);
  await Promise.all([first.start(), second.start(), edges[0]?.start()]);
  await send(fleet, lines);
  assert.equal(oracle.judge.totals().distinct, 0, "the first collector's sink takes nothing");
  fleet.name([1, 2]);

  const ended = first.kill("SIGTERM", 60_000);
  await waitFor("the port to be closed", () => refuses("127.0.0.1", port), 30_000);
  assert.deepEqual(await get(first.monitoringPort, "/readyz"), [503, "draining"]);
  assert.deepEqual(await get(first.monitoringPort, "/startedz"), [200, "started"]);
  assert.deepEqual(await ended, { code: 0, signal: null });
  oracle.fault("SIGTERM of a collector");

  assert.match(first.output(), new RegExp(`${lines} events .* were handed over to a sibling`));
  assert.match(first.output(), new RegExp(`nothing remains in ${fleet.channelOf(1)}`));
  fleet.name([2]);
  oracle.faultsEnded();
  await send(fleet, 50);
  await oracle.settled(60_000);
  const report = await oracle.check({ lines: 450, faults: 1, duplicates: 0, tornLinesMax: 0 });
  t.diagnostic(report.text);
});

void test("two collectors that end at once hand over to the third, never to and fro", async (t) => {
  const fleet = await createCollectors(t, {
    collectors: 3,
    edges: 1,
    defines: { "millrace.drainSeconds": 1 },
  });
  const { oracle, collectors } = fleet;
  for (const number of [1, 2]) await fleet.configure(number, "stuck");
  fleet.name([1, 2]);
  await Promise.all([...collectors, ...fleet.edges].map((agent) => agent.start()));
  await send(fleet, lines);
  await send(fleet, lines);
  fleet.name([1, 2, 3]);
  const leaving = collectors.slice(0, 2);
  const ends = await Promise.all(leaving.map((agent) => agent.kill("SIGTERM", 60_000)));
  for (const { code } of ends) assert.equal(code, 0);
  oracle.fault("SIGTERM of two collectors");
  const handed = leaving.map((agent) =>
    Number(/([\d,]+) events? \(.*\) of channel disk were handed over/.exec(agent.output())?.[1]),
  );
  const all = handed.reduce((sum, count) => sum + count, 0);
  assert.equal(all, 2 * lines, "each event is handed over once");
  leaving.forEach((agent) => assert.match(agent.output(), /nothing remains in/));
  fleet.name([3]);
  oracle.faultsEnded();
  await send(fleet, 50);
  await oracle.settled(60_000);
  const report = await oracle.check({
    lines: 850,
    faults: 1,
    duplicates: 0,
    tornLinesMax: 0,
    anyOrder: true,
  });
  assert.equal(report.duplicates, 0);
  t.diagnostic(report.text);
});

void test("what nobody takes stays, is said, and is delivered by the next start on that volume", async (t) => {
  const fleet = await createCollectors(t, {
    collectors: 1,
    edges: 1,
    defines: { "millrace.drainSeconds": 1, "millrace.handOverSeconds": 300 },
  });
  const { oracle, edges, collectors: [only] } = fleet; // prettier-ignore
  assert.ok(only !== undefined);
  await fleet.configure(1, "stuck");
  fleet.name([1]);
  await Promise.all([only.start(), edges[0]?.start()]);
  await send(fleet, lines);
  const remains = new RegExp(
    `${lines} events \\(.*\\) remain in ${fleet.channelOf(1)}; they are delivered when this volume is used again`,
  );

  await t.test("alone it says that there is no sibling, and does not wait", async () => {
    const { code } = await only.kill("SIGTERM", 60_000);
    assert.equal(code, 0);
    assert.match(only.output(), /there is no sibling at dns:.* but this agent/);
    assert.match(only.output(), remains);
    oracle.fault("SIGTERM of the only collector");
  });

  await t.test("a second SIGTERM ends a hand-over that nobody takes", async () => {
    // There is an address, and nobody listens there.
    fleet.name([1, 9]);
    await only.start();
    const ended = only.kill("SIGTERM", 60_000);
    await waitFor("an attempt", () => only.output().includes("does not take them"), 60_000);
    assert.deepEqual(await only.kill("SIGTERM"), { code: 143, signal: null });
    assert.equal((await ended).code, 143);
    oracle.fault("two SIGTERM");
  });

  await t.test("the next start delivers everything once", async () => {
    await fleet.configure(1, "works");
    fleet.name([1]);
    await only.start();
    oracle.faultsEnded();
    await send(fleet, 50);
    await oracle.settled(60_000);
    const report = await oracle.check({ lines: 450, faults: 2, duplicates: 0, tornLinesMax: 0 });
    assert.equal(report.duplicates, 0);
    t.diagnostic(report.text);
    await only.kill("SIGTERM", 60_000);
    assert.match(only.output(), new RegExp(`nothing remains in ${fleet.channelOf(1)}`));
  });
});
