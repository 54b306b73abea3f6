import { MillraceError } from "@millrace/core";
import { createFakeClock } from "@millrace/testing";
import assert from "node:assert/strict";
import { Writable } from "node:stream";
import test, { type TestContext } from "node:test";
import { createAgentLog } from "./agent-log.ts";
import { formatLine } from "./format-line.ts";
import { type LogLevel, readLogSettings } from "./log-settings.ts";

const startMs = Date.UTC(2026, 0, 31, 12);

function createLog(context: TestContext, level: LogLevel = "info") {
  const clock = createFakeClock(startMs);
  let text = "";
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += String(chunk);
      done();
    },
  });
  const log = createAgentLog({ level, clock, stream });
  context.after(() => log.close());
  return { clock, log, lines: () => text.split("\n").slice(0, -1) };
}

void test("a line has time, level, component, message and fields", (context) => {
  const { log, lines } = createLog(context);
  log.of("r1").info("listening", { host: "0.0.0.0", port: 4141, tls: undefined });
  log.of("c1").error("no room", { said: 'a "b"', list: [1] });
  assert.deepEqual(lines(), [
    "2026-01-31T12:00:00.000Z INFO  r1 listening host=0.0.0.0 port=4141",
    '2026-01-31T12:00:00.000Z ERROR c1 no room said="a \\"b\\"" list=[1]',
  ]);
});

void test("no text from outside begins a line of its own", () => {
  const line = formatLine(0, "warn", "r1", "sender\nsaid\u001b[2J", { name: "x\ny", empty: "" });
  assert.equal(
    line,
    '1970-01-01T00:00:00.000Z WARN  r1 sender\\nsaid\\u001b[2J name="x\\ny" empty=""',
  );
});

void test("an error of ours is its code, a mistake has its stack, and causes follow", () => {
  const cause = new Error("disk on fire");
  const ours = formatLine(0, "error", "c1", "m", {
    error: new MillraceError("WRITE_FAILED", "no write", { cause }),
  });
  assert.match(ours, / m error="WRITE_FAILED no write <- Error: disk on fire"$/);
  const mistake = formatLine(0, "error", "c1", "m", { error: new TypeError("x is not y") });
  assert.match(mistake, /TypeError: x is not y\\n {4}at /);
});

for (const [level, want] of [
  ["error", 1],
  ["warn", 2],
  ["info", 3],
  ["debug", 4],
] as const) {
  void test(`level ${level} shows ${want} of the four levels`, (context) => {
    const { log, lines } = createLog(context, level);
    const own = log.of("a1");
    own.error("e");
    own.warn("w");
    own.info("i");
    own.debug("d");
    assert.equal(lines().length, want);
  });
}

void test("a repeated warning is written at once, and then once with its number", async (context) => {
  const { clock, log, lines } = createLog(context);
  for (let i = 0; i < 13; i++) log.of("k1").warn("a delivery failed", { failures: i });
  log.of("k2").warn("a delivery failed");
  assert.equal(lines().length, 2);
  await clock.advance(30_000);
  assert.deepEqual(lines().slice(2), [
    "2026-01-31T12:00:30.000Z WARN  k1 a delivery failed (repeated 12 times) failures=12",
  ]);
  await clock.advance(60_000);
  log.of("k1").warn("a delivery failed");
  assert.equal(lines().length, 4);
  assert.equal(clock.timerCount, 1);
});

void test("a warning that differs in how long and how many is a repetition; other numbers are not", async (context) => {
  const { clock, log, lines } = createLog(context);
  const failed = (events: number, seconds: number) =>
    log.of("g1").warn(`k1 failed, 1 batch of ${events} rolled back, penalty ${seconds} s`);
  for (const seconds of [0.9, 1, 1.25, 2]) failed(Math.round(seconds * 1000), seconds);
  for (const status of [401, 403]) log.of("g1").warn(`it answered ${status} to 10.0.0.1:4141`);
  assert.equal(lines().length, 3);
  await clock.advance(30_000);
  assert.match(lines()[3] ?? "", /batch of 2000 rolled back, penalty 2 s \(repeated 3 times\)/);
});

void test("information is not folded: the logger sink's events are lines of it", (context) => {
  const { log, lines } = createLog(context);
  for (let i = 0; i < 3; i++) log.of("k1").info("Event: same");
  assert.equal(lines().length, 3);
});

void test("what is held back is written when the log closes", async (context) => {
  const { log, lines } = createLog(context);
  log.of("k1").error("down");
  log.of("k1").error("down");
  await log.close();
  assert.match(lines()[1] ?? "", /down \(repeated 1 times\)/);
});

const settings: { given: Record<string, string>; level: LogLevel; note?: RegExp }[] = [
  { given: {}, level: "info" },
  { given: { "flume.root.logger": "DEBUG,console" }, level: "debug" },
  { given: { "flume.root.logger": "WARN" }, level: "warn" },
  { given: { "flume.root.logger": "INFO,LOGFILE" }, level: "info", note: /appender LOGFILE/ },
  {
    given: { "flume.root.logger": "INFO,console", "millrace.log.level": "error" },
    level: "error",
  },
  { given: { "millrace.log.level": "loud" }, level: "info", note: /level loud is not known/ },
];
for (const { given, level, note } of settings) {
  void test(`log settings ${JSON.stringify(given)} mean level ${level}`, () => {
    const read = readLogSettings(new Map(Object.entries(given)));
    assert.equal(read.level, level);
    if (note === undefined) assert.equal(read.note, undefined);
    else assert.match(read.note ?? "", note);
  });
}
