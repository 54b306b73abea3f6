import assert from "node:assert/strict";
import test from "node:test";
import { fakeExample, loadText } from "../fake-registry.test.ts";
import { describePaths, formatPath } from "./describe-paths.ts";

const say = async (text: string): Promise<string[]> => {
  const { configuration, lines } = await loadText(text);
  assert.deepEqual(lines, []);
  return describePaths(configuration).map(formatPath);
};
const durable = fakeExample.replace("c1.type = memory", "c1.type = file");

const cases: { name: string; text: string; want: string[] }[] = [
  {
    name: "through durable parts is at least once, in order",
    text: durable,
    want: ["r1 -> c1 -> k1: at least once: avro -> file -> null; order kept"],
  },
  {
    name: "through a memory channel is lost with the process",
    text: fakeExample,
    want: ["r1 -> c1 -> k1: lost if the process dies: memory channel c1; order kept"],
  },
  {
    name: "names every part that can lose",
    text: fakeExample.replace("r1.type = avro", "r1.type = netcat"),
    want: [
      "r1 -> c1 -> k1: lost if its sender does not send again: netcat source r1, or if the process dies: memory channel c1; order kept",
    ],
  },
  {
    name: "over an optional channel may be left out",
    text: `${durable}\na1.sources.r1.selector.optional = c1`,
    want: [
      "r1 -> c1 -> k1: lost if it has no room or fails: channel c1 is optional for source r1; order kept",
    ],
  },
  {
    name: "that two sinks share does not keep order",
    text: `${durable}\na1.sinks.k2.type = logger\na1.sinks.k2.channel = c1`.replace(
      "a1.sinks = k1",
      "a1.sinks = k1 k2",
    ),
    want: [
      "r1 -> c1 -> k1: at least once: avro -> file -> null; order not kept: k1 and k2 share channel c1",
      "r1 -> c1 -> k2: at least once: avro -> file -> logger; order not kept: k1 and k2 share channel c1",
    ],
  },
  {
    name: "into a group is one path, ordered as long as one member serves",
    text: `${durable}\na1.sinks.k2.type = logger\na1.sinks.k2.channel = c1\na1.sinkgroups = g1\na1.sinkgroups.g1.sinks = k1 k2\na1.sinkgroups.g1.processor.type = failover`.replace(
      "a1.sinks = k1",
      "a1.sinks = k1 k2",
    ),
    want: [
      "r1 -> c1 -> g1: at least once: avro -> file -> null|logger; order kept only while g1 stays with one of its sinks",
    ],
  },
  {
    name: "into a group that spreads batches does not keep order, nor does a sink with several in flight",
    text: `${durable}\na1.sinks.k1.batchesInFlight = 4\na1.sinks.k2.batchesInFlight = 4\na1.sinks.k2.type = logger\na1.sinks.k2.channel = c1\na1.sinkgroups = g1\na1.sinkgroups.g1.sinks = k1 k2\na1.sinkgroups.g1.processor.type = load_balance`.replace(
      "a1.sinks = k1",
      "a1.sinks = k1 k2",
    ),
    want: [
      "r1 -> c1 -> g1: at least once: avro -> file -> null|logger; order not kept: g1: its batches go to several sinks; k1, k2: it has 4 in flight",
    ],
  },
];
for (const { name, text, want } of cases) {
  void test(`a path ${name}`, async () => assert.deepEqual(await say(text), want));
}
