import type { Event } from "@millrace/core";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { readDeck } from "./deck.ts";
import type { Flume } from "./fetch-flume.ts";
import { javaCommand } from "./java-agent.ts";
import { run } from "./programs.ts";
import type { Settings } from "./transports.ts";

const driverDeadlineMs = 60_000;

/** Lets Java's file channel alone do what the words of ChannelDriver.java say. */
export async function driveChannel(
  test: TestContext,
  flume: Flume,
  folder: string,
  channel: Settings,
  words: readonly string[],
): Promise<void> {
  const path = join(folder, "channel.properties");
  const text = Object.entries(channel).map(([key, value]) => `${key} = ${value}\n`);
  await writeFile(path, text.join(""));
  const command = [...javaCommand(flume, "millrace.conformance.ChannelDriver"), path, ...words];
  await run(test, command, driverDeadlineMs);
}

/** What Java itself takes out of such a channel; it is empty afterwards. */
export async function drainByJava(
  test: TestContext,
  flume: Flume,
  folder: string,
  channel: Settings,
): Promise<Event[]> {
  const deck = join(folder, "drained.deck");
  await driveChannel(test, flume, folder, channel, [`drain:${deck}`, "stop"]);
  return await readDeck(deck);
}
