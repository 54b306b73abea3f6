/** What the tests of agents share: an agent of fakes, and what happened to them. */
import { EventBatch, systemRuntime } from "@millrace/core";
import {
  createCollectingLog,
  createFakeClock,
  type CollectingLog,
  type FakeClock,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { createFakeWorld, type FakeWorld, loadText } from "../fake-registry.test.ts";
import type { Agent, AgentOptions } from "./agent.ts";
import { createAgent } from "./create-agent.ts";

export const never = new AbortController().signal;
export const over = AbortSignal.abort();

export interface Made {
  readonly agent: Agent;
  readonly world: FakeWorld;
  readonly log: CollectingLog;
}

export async function makeAgent(
  context: TestContext,
  text: string,
  given: Partial<AgentOptions> & { world?: FakeWorld } = {},
): Promise<Made> {
  const { world = createFakeWorld(), mode = "strict", ...more } = given;
  const { configuration, startable, lines } = await loadText(text, { world, mode });
  assert.equal(startable, true, lines.join("\n"));
  world.happened.length = 0;
  const log = createCollectingLog();
  const runtime = systemRuntime;
  const agent = createAgent({ configuration, mode, runtime, log: () => log, ...more });
  context.after(() => within("the agent's stop", agent.stop(over)));
  return { agent, world, log };
}

export const batch = (...bodies: string[]): EventBatch =>
  EventBatch.fromEvents(bodies.map((body) => ({ body: Buffer.from(body) })));
export const bodies = (world: FakeWorld): string[] =>
  world.delivered.flatMap((one) => [...one].map(({ body }) => body.toString()));
export const process = (world: FakeWorld, given: EventBatch): Promise<void> =>
  world.sources.get("r1")?.channelProcessor.processEventBatch(given) ??
  Promise.reject(new Error("no source r1"));
/** What happened, without the making. */
export const steps = ({ happened }: FakeWorld): string[] =>
  happened.filter((what) => !what.startsWith("make"));
export const attribute = (agent: Agent, name: string, key: string): number | boolean | undefined =>
  agent
    .counterGroups()
    .find((group) => group.name === name)
    ?.read()[key];

export function withFakeClock(): { clock: FakeClock; runtime: AgentOptions["runtime"] } {
  const clock = createFakeClock();
  return { clock, runtime: { ...systemRuntime, clock } };
}
