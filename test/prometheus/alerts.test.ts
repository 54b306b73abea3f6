/**
 * Each alert provoked once by real agents, as a real Prometheus sees them, and ended by what ends it.
 * The rules run in a time that goes sixty times as fast: what they take an hour for takes a minute.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test, type TestContext } from "node:test";
import { findGoProgram } from "../harness/go-program.ts";
import { prometheusProgram } from "../harness/go-programs.ts";
import * as pages from "./harness/page-scenarios.ts";
import { startPrometheus } from "./harness/prometheus-server.ts";
import { readRules, rulesFile } from "./harness/rules.ts";
import { scaleRules } from "./harness/scale-rules.ts";
import { createStage, type Stage } from "./harness/stage.ts";
import * as tickets from "./harness/ticket-scenarios.ts";

const factor = 60;

/** The longest first: three play at a time. */
const scenarios: Readonly<Record<string, (stage: Stage) => Promise<string | undefined | void>>> = {
  "a hop that says OK and keeps nothing": pages.acknowledgeWithoutKeeping,
  "next hops that go, one after the other": pages.loseTheNextHops,
  "an old certificate, a failing next hop, a file that is no text": tickets.ageAndRefuse,
  "agents of one name that differ, refuse, and get no CPU": tickets.confuseTwins,
  "a direct channel whose store is too late": tickets.answerTooLate,
  "events without a route, and an agent that is killed": pages.loseEventsAndTheAgent,
  "a disk that fills": pages.fillTheDisk,
};

void test("rules in fast time differ from the shipped ones in times only", () => {
  const text = readFileSync(rulesFile, "utf8");
  const scaled = scaleRules(text, factor);
  assert.match(scaled, /deriv\(millrace_channel_bytes\[15000ms\]\) > 0\) < 60\b/);
  assert.match(scaled, /oldest_event_age_seconds > 15\b/);
  assert.match(scaled, /for: 30000ms/);
  assert.match(scaled, /< 14 \* 86400/, "a date is a date");
});

void test("every alert fires for its cause and ends with it", { concurrency: 3 }, async (t) => {
  const binary = findGoProgram(t, prometheusProgram);
  if (binary === undefined) return;
  const prometheus = await startPrometheus(
    t,
    binary,
    scaleRules(readFileSync(rulesFile, "utf8"), factor),
  );
  const provoked = new Set<string>();
  const skipped: string[] = [];
  const waiting = Object.entries(scenarios);
  const play = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [title, run] = next;
      await t.test(title, async (scene: TestContext) => {
        const why = await run(await createStage(scene, prometheus, provoked));
        if (typeof why !== "string") return;
        skipped.push(title);
        scene.skip(why);
      });
    }
  };
  await Promise.all([play(), play(), play()]);

  const alerts = readRules().map(({ alert }) => alert);
  const unseen = alerts.filter((alert) => !provoked.has(alert));
  const expected = skipped.length === 0 ? [] : ["MillraceDiskTrouble"];
  assert.deepEqual(unseen, expected);
  interface Rule {
    readonly name: string;
    readonly health: string;
    readonly lastError?: string;
  }
  const { groups } = await prometheus.get<{ groups: { rules: Rule[] }[] }>("rules");
  for (const { name, health, lastError } of groups.flatMap(({ rules }) => rules)) {
    assert.equal(health, "ok", `${name}: ${lastError}`);
  }
});
