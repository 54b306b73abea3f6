import assert from "node:assert/strict";
import { test } from "node:test";
import { createCollectingLog, createFakeClock, settle } from "@millrace/testing";
import { MillraceError } from "../errors/millrace-error.ts";
import type { PollableSource } from "./source.ts";
import { createSourceRunner } from "./source-runner.ts";

const never = new AbortController().signal;

/** A source that answers what `answer` says, and journals what is called with the time. */
function given(answer: (poll: number, signal: AbortSignal) => ReturnType<PollableSource["poll"]>) {
  const clock = createFakeClock();
  const log = createCollectingLog();
  const journal: string[] = [];
  const pollsAt: number[] = [];
  const fatal: Error[] = [];
  const source: PollableSource = {
    pollBackoff: { incrementMs: 1000, maxMs: 5000 },
    async start() {
      journal.push("start");
    },
    async stop() {
      journal.push("stop");
    },
    poll(signal) {
      pollsAt.push(clock.monotonic());
      return answer(pollsAt.length, signal);
    },
  };
  const onFatal = (error: Error): void => void fatal.push(error);
  const runner = createSourceRunner({ source, clock, log, onFatal });
  return { clock, log, journal, pollsAt, fatal, runner, source };
}

const hang = (signal: AbortSignal): Promise<"backoff"> =>
  new Promise((resolve) => signal.addEventListener("abort", () => resolve("backoff")));

void test("a polled source is polled, and stopped after its poll has ended (T344)", async () => {
  const { runner, journal, pollsAt } = given(async (_, signal) => {
    await hang(signal);
    journal.push("poll ended");
    return "backoff";
  });
  await runner.start(never);
  await settle();
  await runner.stop(never);
  await runner.stop(never);
  assert.deepEqual(journal, ["start", "poll ended", "stop"]);
  assert.equal(pollsAt.length, 1);
});

void test("backoff waits one increment more each time, up to the maximum; ready resets", async () => {
  const { runner, clock, pollsAt } = given(async (poll) => (poll === 8 ? "ready" : "backoff"));
  await runner.start(never);
  await clock.advance(40_000);
  await runner.stop(never);
  assert.deepEqual(
    pollsAt.slice(0, 11),
    [0, 1000, 3000, 6000, 10_000, 15_000, 20_000, 25_000, 25_000, 26_000, 28_000],
  );
});

void test("an exception is logged, and the next poll waits the maximum", async () => {
  const { runner, clock, pollsAt, log } = given(async (poll) => {
    if (poll === 1) throw new MillraceError("CHANNEL_FULL", "c1 is full");
    if (poll === 2) throw new TypeError("a mistake");
    return "backoff";
  });
  await runner.start(never);
  await clock.advance(11_000);
  await runner.stop(never);
  assert.deepEqual(pollsAt, [0, 5000, 10_000, 11_000]);
  assert.match(log.lines[0]?.message ?? "", /CHANNEL_FULL c1 is full/);
  assert.match(log.lines[1]?.message ?? "", /UNEXPECTED a mistake/);
});

void test("a fatal error ends polling and is told once", async () => {
  const { runner, clock, pollsAt, fatal } = given(async () => {
    throw new MillraceError("CHANNEL_FAILED", "the log's sync failed");
  });
  await runner.start(never);
  await clock.advance(60_000);
  assert.equal(pollsAt.length, 1);
  assert.deepEqual(
    fatal.map((error) => (error as MillraceError).code),
    ["CHANNEL_FAILED"],
  );
  await runner.stop(never);
});

void test("a source that is always ready lets the event loop turn", async () => {
  const { runner, pollsAt } = given(async () => "ready");
  await runner.start(never);
  await settle();
  await runner.stop(never);
  const polls = pollsAt.length;
  assert.ok(polls > 32, `${polls} polls`);
  await settle();
  assert.equal(pollsAt.length, polls, "and none after stop");
});

void test("a poll that ignores its abort is left behind soon after the deadline", async () => {
  const { runner, clock, journal, log } = given(() => new Promise(() => {}));
  const deadline = new AbortController();
  await runner.start(never);
  const stopped = runner.stop(deadline.signal);
  await clock.advance(60_000);
  assert.deepEqual(journal, ["start"], "until the deadline the poll is awaited");
  deadline.abort();
  await clock.advance(1000);
  await stopped;
  assert.deepEqual(journal, ["start", "stop"]);
  assert.match(log.lines[0]?.message ?? "", /ignored its abort/);
});

void test("stop without start only stops the source; a failed start polls nothing", async () => {
  const { runner, source, journal, pollsAt } = given(async () => "ready");
  await runner.stop(never);
  assert.deepEqual(journal, ["stop"]);
  source.start = () => Promise.reject(new MillraceError("PORT_IN_USE", "0.0.0.0:41414"));
  await assert.rejects(runner.start(never), /41414/);
  await settle();
  assert.equal(pollsAt.length, 0);
});

void test("a stop that comes while the source starts leaves nothing polling", async () => {
  const { runner, source, pollsAt } = given(async () => "backoff");
  let started = (): void => {};
  source.start = () => new Promise((resolve) => (started = resolve));
  const start = runner.start(never);
  await runner.stop(never);
  started();
  await start;
  await settle();
  assert.equal(pollsAt.length, 0);
});

void test("a source that is not polled is only started and stopped", async () => {
  const clock = createFakeClock();
  const journal: string[] = [];
  const source = {
    start: async () => void journal.push("start"),
    stop: async () => void journal.push("stop"),
  };
  const runner = createSourceRunner({ source, clock, log: createCollectingLog() });
  await runner.start(never);
  await runner.stop(never);
  assert.deepEqual(journal, ["start", "stop"]);
  assert.equal(clock.timerCount, 0);
});
