import { createFakeClock } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createStoryFilter } from "./agent-story.ts";

void test("the story tells of trouble, of the group and of channels, the same not twice within 5 s", async () => {
  const clock = createFakeClock();
  const storyOf = createStoryFilter(clock);
  const line = (level: string, text: string): string => `2026-01-31T12:00:00.000Z ${level} ${text}`;
  assert.equal(storyOf(line("INFO ", "edge the agent has started sources=1")), undefined);
  assert.equal(storyOf("plain text"), undefined);
  assert.equal(storyOf(line("ERROR", "out cannot write")), "out cannot write");
  assert.equal(storyOf(line("INFO ", "disk 1531 events are waiting")), "1531 events are waiting");
  const lost = "collector-1 ECONNRESET, 1 batch of 1,000 rolled back, penalty ";
  assert.equal(storyOf(line("WARN ", `collectors ${lost}2 s`)), `${lost}2 s`);
  assert.equal(storyOf(line("WARN ", `collectors ${lost}4 s`)), undefined);
  await clock.advance(5_000);
  assert.equal(storyOf(line("WARN ", `collectors ${lost}5 s`)), `${lost}5 s`);
  assert.equal(storyOf(line("WARN ", `in ${"x".repeat(500)}`))?.length, 163);
});
