import assert from "node:assert/strict";
import { test } from "node:test";
import { mixedRoles, worstFirst } from "./agent-report.ts";
import { assess } from "./assess.ts";
import { parseSamples } from "./prometheus-text.ts";
import type { Reading } from "./read-agent.ts";
import { renderReports } from "./render.ts";

const own = 'agent="edge",role="edge"';
const disk = `{${own},component="disk",type="file"}`;

/** An edge of one channel and the group's two sinks, with lines instead of those of their names. */
function reading(atMs: number, lines: readonly string[] = [], notReady?: string): Reading {
  const usual = [
    "process_start_time_seconds 1000",
    `millrace_config_generation{${own},component="edge",type="agent"} 7`,
    `millrace_source_accepted_events_total{${own},component="logs",type="taildir"} 100`,
    `millrace_channel_events${disk} 0`,
    `millrace_channel_bytes${disk} 0`,
    `millrace_channel_capacity_bytes${disk} 1000`,
    `millrace_channel_taken_events_total${disk} 100`,
    `millrace_sink_delivered_events_total{${own},component="near",type="avro"} 100`,
  ];
  const nameOf = (line: string): string => /^\w+/.exec(line)?.[0] ?? "";
  const given = new Set(lines.map(nameOf));
  const text = [...usual.filter((line) => !given.has(nameOf(line))), ...lines].join("\n");
  const samples = parseSamples(text);
  return { address: "h:1", atMs, samples, problem: undefined, notReady };
}

test("labels are read with their escapes, and what is no sample is left out", () => {
  const samples = parseSamples(
    '# HELP a b\na{x="1",y="q\\"\\\\\\n"} 2\nb 3 1700000000\nc +Inf\nd{} NaN\n:no sample\n\n',
  );
  assert.deepEqual(
    samples.map(({ labels, name, value }) => [name, [...labels], value]),
    [
      ["a", [["x", "1"], ["y", 'q"\\\n']], 2], // prettier-ignore
      ["b", [], 3],
      ["c", [], Infinity],
      ["d", [], NaN],
    ],
  );
});

test("an agent that moves what it gets is well; rates are of the time between two readings", () => {
  const report = assess(
    reading(0),
    reading(2000, [
      `millrace_source_accepted_events_total{${own},component="logs",type="taildir"} 300`,
      `millrace_sink_delivered_events_total{${own},component="near",type="avro"} 200`,
    ]),
  );
  assert.deepEqual(
    [report.severity, report.inPerSecond, report.outPerSecond, report.why],
    ["ok", 100, 50, []],
  );
  assert.deepEqual([report.agent, report.role, report.generation], ["edge", "edge", 7]);
});

test("of one reading alone, and over a restart, there are no rates", () => {
  assert.equal(assess(undefined, reading(0)).inPerSecond, undefined);
  const restarted = reading(1000, ["process_start_time_seconds 2000"]);
  assert.equal(assess(reading(0), restarted).inPerSecond, undefined);
});

test("a channel that holds events and gives none is stuck, and the failing sink is named with its error", () => {
  const held = [
    `millrace_channel_events${disk} 5`,
    `millrace_channel_oldest_event_age_seconds${disk} 12`,
  ];
  const info = `millrace_sink_member_failing_info{${own},component="g",type="failover",group="g",sink="near",reason="ECONNREFUSED"} 1`;
  const report = assess(reading(0, held), reading(1000, [...held, info]));
  assert.equal(report.severity, "stuck");
  assert.deepEqual(report.why, ["sink near fails: ECONNREFUSED"]);
});

test("a sink of no group is named when its failures grow, or when none of its hosts is up", () => {
  const failures = (count: number): string =>
    `millrace_sink_failures_total{${own},component="out",type="avro",reason="timeout"} ${count}`;
  const up = (count: number): string =>
    `millrace_sink_hosts_up{${own},component="out",type="avro"} ${count}`;
  const why = (before: string[], now: string[]): readonly string[] =>
    assess(reading(0, before), reading(1000, now)).why;
  assert.deepEqual(why([failures(1)], [failures(2), up(1)]), ["sink out fails: timeout"]);
  assert.deepEqual(why([failures(2)], [failures(2), up(0)]), ["sink out fails: timeout"]);
  assert.deepEqual(why([failures(2)], [failures(2), up(1)]), [], "it is over");
});

test("a sink of any type is named with its error's code while its last delivery has failed", () => {
  const held = [`millrace_channel_events${disk} 5`];
  const info = (value: number): string =>
    `millrace_sink_failing_info{${own},component="out",type="file_roll",reason="SINK_WRITE_FAILED"} ${value}`;
  const failing = assess(reading(0, held), reading(1000, [...held, info(1)]));
  assert.deepEqual(
    [failing.severity, failing.why],
    ["stuck", ["sink out fails: SINK_WRITE_FAILED"]],
  );
  assert.deepEqual(assess(undefined, reading(0, [info(0)])).why, [], "it is over");
});

test("a channel is stuck though its neighbour gives", () => {
  const other = `{${own},component="other",type="file"}`;
  const lines = (taken: number): string[] => [
    `millrace_channel_events${disk} 5`,
    `millrace_channel_taken_events_total${disk} 100`,
    `millrace_channel_events${other} 0`,
    `millrace_channel_taken_events_total${other} ${taken}`,
    `millrace_sink_failing_info{${own},component="out",type="null",reason="UNEXPECTED"} 1`,
  ];
  assert.equal(assess(reading(0, lines(1)), reading(1000, lines(900))).severity, "stuck");
});

test("a channel that stands still though deliveries are quick and none fails is named: a sink may hang", () => {
  const delivery = `{${own},component="near",type="avro",result="ok"}`;
  const lines = (oldest: number, meanSeconds: number): string[] => [
    `millrace_channel_events${disk} 5`,
    `millrace_channel_oldest_event_age_seconds${disk} ${oldest}`,
    `millrace_sink_delivery_seconds_sum${delivery} ${meanSeconds * 100}`,
    `millrace_sink_delivery_seconds_count${delivery} 100`,
  ];
  const assessed = (
    oldest: number,
    mean: number,
    ...more: string[]
  ): (string | readonly string[])[] => {
    const { severity, why } = assess(reading(0, lines(oldest, mean)), reading(1000, [...lines(oldest, mean), ...more])); // prettier-ignore
    return [severity, why];
  };
  const hangs =
    "channel disk gives nothing, its oldest event waits 42 s, no sink fails: does one hang?";
  assert.deepEqual(assessed(42, 0.02), ["attention", [hangs]]);
  assert.deepEqual(assessed(29, 0.02), ["ok", []], "it may have stood still for a moment only");
  assert.deepEqual(assessed(42, 0.2), ["ok", []], "none need have ended in a second");
  assert.deepEqual(assessed(42, 0.02, `millrace_channel_taken_events_total${disk} 101`), ["ok", []]); // prettier-ignore
  const failing = `millrace_sink_failing_info{${own},component="near",type="avro",reason="X"} 1`;
  assert.deepEqual(assessed(42, 0.02, failing), ["stuck", ["sink near fails: X"]], "the cause alone"); // prettier-ignore
  assert.deepEqual(assess(undefined, reading(1000, lines(42, 0.02))).why, [], "one look alone");
  const never = lines(42, 0.02).slice(0, 2);
  assert.deepEqual(assess(reading(0, never), reading(1000, never)).why, [], "none is usual yet");
});

test("of a channel that does not count what it gives nothing is concluded", () => {
  const lines = [
    `millrace_channel_events${disk} 5`,
    "millrace_channel_taken_events_total 0",
    `millrace_sink_failing_info{${own},component="near",type="avro",reason="X"} 1`,
  ];
  assert.equal(assess(reading(0, lines), reading(1000, lines)).severity, "attention");
});

test("a channel that fills says when it will be full, and a full one that its sources wait", () => {
  const bytes = (count: number): string => `millrace_channel_bytes${disk} ${count}`;
  const filling = assess(reading(0, [bytes(100)]), reading(1000, [bytes(200)]));
  assert.equal(filling.channels[0]?.fullInSeconds, 8);
  assert.equal(filling.severity, "ok");
  const full = assess(reading(0, [bytes(960)]), reading(1000, [bytes(960)]));
  assert.deepEqual([full.severity, full.why], ["full", ["channel disk is full: its sources wait"]]);
});

test("of a disk that is full it is said what is ours", () => {
  const { severity, why } = assess(
    undefined,
    reading(0, [
      `millrace_channel_bytes${disk} 512`,
      `millrace_file_channel_available_bytes${disk} 1048576`,
      `millrace_file_channel_reserved_bytes${disk} 2097152`,
    ]),
  );
  assert.equal(severity, "full");
  assert.deepEqual(why, [
    "the disk of channel disk is full: 1.0 MiB free, 2.0 MiB are to stay free; ours are 512 B, the rest is others'",
  ]);
});

test("what was lost is said, what was left out on purpose is not", () => {
  const lost = (intended: boolean): string =>
    `millrace_events_discarded_total{${own},component="udp",type="syslogudp",reason="channel_full",intended="${intended}"} 3`;
  assert.deepEqual(assess(undefined, reading(0, [lost(false)])).why, [
    "udp has lost 3 events: channel_full",
  ]);
  assert.deepEqual(assess(undefined, reading(0, [lost(true)])).why, []);
});

test("the worst stands first: unreachable, not ready, full, stuck, then the oldest events", () => {
  const gone = { ...reading(0), address: "gone:1", samples: undefined, problem: "ECONNREFUSED" };
  const draining = { ...reading(0, [], "draining"), address: "draining:1" };
  const old = [
    `millrace_channel_events${disk} 1`,
    `millrace_channel_oldest_event_age_seconds${disk} 60`,
  ];
  const reports = [
    { ...reading(0), address: "well:1" },
    { ...reading(0, old), address: "older:1" },
    draining,
    gone,
  ].map((now) => assess(undefined, now));
  const order = worstFirst(reports).map(({ address, severity }) => `${address} ${severity}`);
  assert.deepEqual(order, [
    "gone:1 unreachable",
    "draining:1 not ready",
    "older:1 ok",
    "well:1 ok",
  ]);
  const lines = renderReports(reports);
  assert.match(lines[1] ?? "", /^gone:1 +- +- +- +- +- +-$/);
  assert.equal(lines[2], "  unreachable: ECONNREFUSED");
  for (const line of lines) assert.ok(line.length <= 80, line);
});

test("agents of one role with different configurations are named", () => {
  const other = reading(0, [`millrace_config_generation{${own},component="edge",type="agent"} 8`]);
  const reports = [assess(undefined, reading(0)), assess(undefined, other)];
  assert.deepEqual(mixedRoles(reports), ["edge: 2"]);
  assert.equal(renderReports(reports).at(-1), "different configurations run: edge: 2");
  assert.deepEqual(mixedRoles(reports.slice(1)), []);
});
