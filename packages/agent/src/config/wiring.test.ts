import assert from "node:assert/strict";
import test from "node:test";
import { fakeExample, loadText } from "../fake-registry.test.ts";

/** Two of everything: r1 fills c1 and c2, k1 and k2 read c1, k3 reads c2. */
const wide = `
a1.sources = r1
a1.channels = c1 c2
a1.sinks = k1 k2 k3
a1.sources.r1.type = avro
a1.sources.r1.port = 0
a1.sources.r1.channels = c1 c2
a1.channels.c1.type = memory
a1.channels.c2.type = memory
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
a1.sinks.k2.type = null
a1.sinks.k2.channel = c1
a1.sinks.k3.type = null
a1.sinks.k3.channel = c2
`;

const group = (sinks: string, more = ""): string =>
  `${wide}a1.sinkgroups = g1\na1.sinkgroups.g1.sinks = ${sinks}\n${more}`;
const failover = "a1.sinkgroups.g1.processor.type = failover\n";

const groupErrors: { name: string; text: string; want: string }[] = [
  {
    name: "an unknown member",
    text: group("k1 k8", failover),
    want: "flume.conf:17: a1.sinkgroups.g1.sinks: no sink k8; did you mean k1?",
  },
  {
    name: "members on different channels",
    text: group("k1 k3", failover),
    want: "flume.conf:17: a1.sinkgroups.g1.sinks: the sinks of a group share one channel, but k1 reads c1, k3 reads c2",
  },
  {
    name: "no list of members",
    text: `${wide}a1.sinkgroups = g1\n${failover}`,
    want: "flume.conf:17: a1.sinkgroups.g1.sinks: is required: the names of the group's sinks",
  },
  {
    name: "no type where several sinks leave a choice",
    text: group("k1 k2"),
    want: "flume.conf:17: a1.sinkgroups.g1.processor.type: is required: the type of the sink-processor",
  },
  {
    name: "what only the making of its processor shows",
    text: group("k1 k2", "a1.sinkgroups.g1.processor.type = default\n"),
    want: "flume.conf:17: a1.sinkgroups.g1.sinks: one sink only",
  },
  {
    name: "a member with errors, which alone are reported",
    text: group("k1 k2", failover).replace("k2.type = null", "k2.type = loggr"),
    want: 'flume.conf:12: a1.sinks.k2.type: "loggr" is not a type of sink that this agent has; did you mean logger?',
  },
  {
    name: "an unknown type",
    text: group("k1 k2", "a1.sinkgroups.g1.processor.type = loadbalance\n"),
    want: 'flume.conf:18: a1.sinkgroups.g1.processor.type: "loadbalance" is not a type of sink-processor that this agent has; did you mean load_balance?',
  },
  {
    name: "a sink that is in another group",
    text: group(
      "k1",
      `${failover}a1.sinkgroups = g1 g2\na1.sinkgroups.g2.sinks = k2 k1\na1.sinkgroups.g2.processor.type = failover\n`,
    ),
    want: "flume.conf:20: a1.sinkgroups.g2.sinks: sink k1 is in group g1 already",
  },
];
for (const { name, text, want } of groupErrors) {
  void test(`a sink group is refused for ${name}`, async () => {
    const { problems, lines, startable } = await loadText(text);
    const errors = lines.filter((_, i) => problems[i]?.severity === "error");
    assert.deepEqual(errors, [want]);
    assert.equal(startable, false);
  });
}

void test("what a processor says of its options and its sinks is a note at the key's line", async () => {
  const short = "a1.sinkgroups.g1.processor.maxpenalty = 5\n";
  const { lines, startable } = await loadText(group("k1 k2", failover + short));
  assert.deepEqual(lines, [
    "flume.conf:19: a1.sinkgroups.g1.processor.maxpenalty: is short for k1 and k2",
  ]);
  assert.equal(startable, true);
});

void test("a group of one sink needs no type", async () => {
  const { configuration, lines } = await loadText(group("k1"));
  assert.deepEqual(lines, []);
  assert.equal(configuration.groups.get("g1")?.processor.type, "default");
});

void test("two channels of one agent do not share directories", async () => {
  const file = wide.replaceAll(".type = memory", ".type = file");
  const shared = await loadText(file);
  assert.equal(
    shared.lines[0],
    "flume.conf:7: a1.sources.r1.channels: channel c2 has errors of its own",
  );
  assert.equal(
    shared.lines[1],
    "flume.conf:9: a1.channels.c2: would share the default dataDirs with channel c1; give each its own dataDirs",
  );
  const named = `${file}a1.channels.c1.dataDirs = /a,/b\na1.channels.c2.dataDirs = /c,/b/\n`;
  assert.match((await loadText(named)).lines[1] ?? "", /would share \/b with channel c1/);
  const apart = `${file}a1.channels.c1.dataDirs = /a,/b\n`;
  assert.deepEqual((await loadText(apart)).lines, []);
});

const lenient: {
  name: string;
  text: string;
  left: { channels?: string; sources?: string; sinks?: string; groups?: string };
  dropped: string[];
}[] = [
  {
    name: "a source with errors is dropped alone (T566)",
    text: wide.replace("r1.port = 0", "r1.port = x"),
    left: { sources: "" },
    dropped: ["source r1"],
  },
  {
    name: "a sink with errors is dropped alone (T568)",
    text: wide.replace("k2.type = null", "k2.type = hive"),
    left: { sinks: "k1 k3" },
    dropped: ["sink k2"],
  },
  {
    name: "a channel with errors takes its sinks with it, and its source goes on with the others (T567)",
    text: wide.replace("c2.type = memory", "c2.type = jdbc"),
    left: { channels: "c1", sinks: "k1 k2" },
    dropped: ["channel c2", "sink k3"],
  },
  {
    name: "a channel goes when both of its ends do (T569)",
    text: wide
      .replace("r1.channels = c1 c2", "r1.channels = c1")
      .replace("k3.type = null", "k3.type = hive"),
    left: { channels: "c1", sinks: "k1 k2" },
    dropped: ["sink k3"],
  },
  {
    name: "ends whose batches are too large for the channel go, and then the channel (T570)",
    text: `${wide}a1.channels.c2.transactionCapacity = 10\na1.sinks.k3.batch-size = 11\n`.replace(
      "r1.channels = c1 c2",
      "r1.channels = c1",
    ),
    left: { channels: "c1", sinks: "k1 k2" },
    dropped: ["sink k3"],
  },
  {
    name: "a group loses a member that is not there",
    text: group("k1 k8 k2", failover),
    left: { groups: "k1 k2" },
    dropped: [],
  },
  {
    name: "a group that cannot be is dropped, and its sinks run on their own",
    text: group("k1 k3", failover),
    left: { groups: undefined as never },
    dropped: ["sink group g1"],
  },
];
for (const { name, text, left, dropped } of lenient) {
  void test(`in lenient mode ${name}`, async () => {
    const loaded = await loadText(text, { mode: "lenient" });
    const { channels, sources, sinks, groups } = loaded.configuration;
    assert.deepEqual(
      {
        channels: [...channels.keys()].join(" "),
        sources: [...sources.keys()].join(" "),
        sinks: [...sinks.keys()].join(" "),
        groups: groups.get("g1")?.sinks.join(" "),
      },
      { channels: "c1 c2", sources: "r1", sinks: "k1 k2 k3", groups: undefined, ...left },
    );
    assert.deepEqual(
      loaded.dropped.map((one) => `${one.kind} ${one.name}`),
      dropped,
    );
    assert.equal(loaded.startable, true);
    assert.ok(loaded.problems.some(({ severity }) => severity === "error"));
    assert.equal((await loadText(text, { mode: "strict" })).startable, false);
  });
}

void test("batches as large as the channel's transactions fit (T570)", async () => {
  const text = `${fakeExample}\na1.channels.c1.transactionCapacity = 7\na1.sinks.k1.batch-size = 7\na1.sources.r1.batchSize = 7`;
  assert.deepEqual((await loadText(text)).lines, []);
});

const nothing: { name: string; text: string }[] = [
  { name: "no channels (T545)", text: fakeExample.replace("a1.channels = c1", "") },
  {
    name: "neither sources nor sinks (T548)",
    text: fakeExample.replace("a1.sources = r1", "").replace("a1.sinks = k1", ""),
  },
  { name: "an empty agent", text: "a1.channels =\n" },
];
for (const { name, text } of nothing) {
  void test(`an agent with ${name} does not start in either mode`, async () => {
    for (const mode of ["strict", "lenient"] as const) {
      const { startable, problems } = await loadText(text, { mode });
      assert.equal(startable, false);
      assert.ok(problems.some(({ severity }) => severity === "error"));
    }
  });
}

const oneEnd: { name: string; text: string }[] = [
  { name: "no sources (T546)", text: fakeExample.replace("a1.sources = r1", "") },
  { name: "no sinks (T547)", text: fakeExample.replace("a1.sinks = k1", "") },
];
for (const { name, text } of oneEnd) {
  void test(`an agent with ${name} starts`, async () => {
    assert.equal((await loadText(text)).startable, true);
  });
}
