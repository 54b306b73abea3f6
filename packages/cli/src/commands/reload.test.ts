import {
  type AgentConfiguration,
  compareConfigurations,
  loadConfiguration,
  type LoadedConfiguration,
  type ReloadOutcome,
} from "@millrace/agent";
import {
  createCollectingLog,
  freePort,
  placeFile,
  programCommand,
  settle,
  startChild,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { loadRegistry } from "./load-registry.ts";
import { createReload } from "./reload.ts";

const running = {
  channels: new Map(),
  sources: new Map(),
  sinks: new Map([["k1", {}]]),
  groups: new Map(),
} as unknown as AgentConfiguration;
const loaded = {
  configuration: running,
  dropped: [],
  problems: [],
  startable: true,
} satisfies LoadedConfiguration;

function given(load: () => Promise<LoadedConfiguration>, outcome: ReloadOutcome = "applied") {
  const lines = createCollectingLog();
  let reloads = 0;
  let rejected = 0;
  const agent = {
    configuration: running,
    rejectReload: () => void rejected++,
    reload: () => {
      reloads++;
      return Promise.resolve(outcome);
    },
  };
  const log = { of: () => lines, close: () => Promise.resolve() };
  return {
    reload: createReload(load, agent, log, "a1"),
    reloads: () => reloads,
    rejected: () => rejected,
    lines: () => lines.lines.map(({ level, message }) => `${level} ${message}`),
  };
}

test("a bad configuration is not handed to the agent, and each of its problems is said", async () => {
  const place = { file: "flume.conf", line: 3, column: 1, property: "a1.channels.c1.capacity" };
  const { reload, reloads, lines } = given(async () => ({
    ...loaded,
    problems: [
      { severity: "error", ...place, message: "wrong" },
      { severity: "warning", ...place, line: 4, message: "odd" },
      { severity: "note", ...place, line: 5, message: "for reading" },
    ],
    startable: false,
  }));
  void reload();
  await settle();
  assert.equal(reloads(), 0);
  assert.deepEqual(lines(), [
    "error flume.conf:3: a1.channels.c1.capacity: wrong",
    "warn flume.conf:4: a1.channels.c1.capacity: odd",
    "error the new configuration has errors: the agent goes on with the one it has",
  ]);
});

test("what runs is not ended by an error, even where broken parts are left out at a start", async () => {
  let dropped: LoadedConfiguration["dropped"] = [{ kind: "sink", name: "k1" }];
  const { reload, reloads, rejected, lines } = given(async () => ({ ...loaded, dropped }));
  await reload();
  assert.deepEqual([reloads(), rejected()], [0, 1]);
  assert.deepEqual(lines(), [
    "error the new configuration has errors and would end sink k1: the agent goes on with the one it has",
  ]);
  dropped = [{ kind: "sink", name: "k9" }];
  await reload();
  assert.deepEqual([reloads(), rejected()], [1, 1], "one that does not run is left out");
});

for (const [outcome, runs] of [
  ["applied", true],
  ["unchanged", true],
  ["refused", false],
  ["reverted", false],
  ["not-running", false],
] as const) {
  test(`of a configuration that is ${outcome} it says that it ${runs ? "runs" : "does not run"}`, async () => {
    assert.equal(await given(async () => loaded, outcome).reload(), runs);
  });
}

test("of one with errors, or that cannot be read, it says that it does not run", async () => {
  assert.equal(await given(async () => ({ ...loaded, startable: false })).reload(), false);
  assert.equal(await given(() => Promise.reject(new Error("no disk"))).reload(), false);
});

test("signals that come while the configuration is read make it read once more", async () => {
  const reads: (() => void)[] = [];
  const { reload, reloads } = given(
    () => new Promise((resolve) => reads.push(() => resolve(loaded))),
  );
  for (let i = 0; i < 5; i++) void reload();
  assert.equal(reads.length, 1);
  reads[0]?.();
  await settle();
  assert.deepEqual([reads.length, reloads()], [2, 1]);
  reads[1]?.();
  await settle();
  assert.deepEqual([reads.length, reloads()], [2, 2]);
  void reload();
  assert.equal(reads.length, 3);
});

test("a configuration that cannot be read leaves the agent as it is", async () => {
  const { reload, reloads, lines } = given(() => Promise.reject(new Error("no disk")));
  void reload();
  await settle();
  assert.equal(reloads(), 0);
  assert.match(lines()[0] ?? "", /^error the configuration could not be read again/);
});

test("two readings of a configuration differ in nothing, for the example of every component", async (context) => {
  const registry = await loadRegistry();
  const directory = await tempDirectory(context);
  const file = join(directory, "flume.conf");
  let compared = 0;
  for (const entry of registry) {
    await writeFile(file, (await entry.load()).example);
    const read = () =>
      loadConfiguration({ files: [file], agent: "a1", registry, mode: "lenient", env: {} });
    const [a, b] = [await read(), await read()];
    const changes = compareConfigurations(a.configuration, b.configuration);
    assert.deepEqual(changes, [], `${entry.kind} ${entry.type}`);
    compared += a.configuration.channels.size;
  }
  assert.ok(compared >= registry.length, `${compared} configurations were compared`);
});

test("SIGHUP gives a running channel new limits, its source other options, and refuses a bad configuration (T036)", async (context) => {
  const directory = await tempDirectory(context);
  const spool = join(directory, "spool");
  await mkdir(spool);
  const configFile = join(directory, "flume.conf");
  const configure = (capacity: string, more = "") =>
    writeFile(
      configFile,
      `a1.sources = r1
a1.channels = c1
a1.sources.r1.type = spooldir
a1.sources.r1.spoolDir = ${spool}
a1.sources.r1.pollDelay = 20
a1.sources.r1.batchSize = 5
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.capacity = ${capacity}
a1.channels.c1.transactionCapacity = 5
${more}`,
    );
  await configure("5");
  const port = await freePort();
  const agent = startChild(context, {
    command: [
      ...programCommand("cli/main"),
      ...["agent", "-n", "a1", "-f", configFile, "-Dflume.monitoring.type=http"],
      `-Dflume.monitoring.port=${port}`,
    ],
  });
  const channel = async (attribute: string): Promise<string | undefined> => {
    const response = await fetch(`http://127.0.0.1:${port}/metrics`);
    const groups = (await response.json()) as Record<string, Record<string, string>>;
    return groups["CHANNEL.c1"]?.[attribute];
  };
  const has = (attribute: string, value: string) =>
    waitFor(`${attribute} ${value}`, async () => (await channel(attribute)) === value, 30_000);
  const reload = async (line: string) => {
    agent.signal("SIGHUP");
    await agent.says(line);
  };
  await agent.says("the agent has started");

  await placeFile(join(spool, "lines"), "event\n".repeat(10));
  await has("ChannelSize", "5");
  await configure("ten");
  await reload("the new configuration has errors: the agent goes on with the one it has");
  assert.match(
    agent.output(),
    /ERROR config .*flume\.conf:9: a1\.channels\.c1\.capacity: "ten" is/,
  );
  await configure("10", "a1.channels.c1.byteCapacityBufferPercentage = 30\na1.sources.r1.fileHeader = true\n"); // prettier-ignore
  await reload("the new configuration is taken over: a1.sources.r1.fileHeader");
  await agent.says("a1.channels.c1.capacity is 10 now; it was 5");
  await has("ChannelSize", "10");
  assert.equal(await channel("ChannelCapacity"), "10");
});
