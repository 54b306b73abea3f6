import { describePaths, formatPath } from "../guarantee/describe-paths.ts";
import type { Agent } from "../graph/agent.ts";
import type { AgentStatus, ChannelStatus, SinkStatus } from "./agent-status.ts";

/** What the agent does not know of its process. */
export interface ProcessFacts {
  readonly version: string;
  readonly pid: number;
  readonly uptimeSeconds: number;
  readonly role: string | undefined;
}

/** How the agent is now, in the words of the admin socket. */
export function describeAgent(agent: Agent, { role, ...facts }: ProcessFacts): AgentStatus {
  const { configuration, state } = agent;
  const { channels, sources } = configuration;
  return {
    agent: configuration.agent,
    ...(role === undefined ? {} : { role }),
    ...facts,
    state,
    ...agent.readiness(),
    configurationGeneration: configuration.generation,
    paths: describePaths(configuration).map(formatPath),
    sources: [...sources.values()].map(({ name, type }) => ({ name, type })),
    channels: [...channels.values()].map(({ name, type }) => channelStatus(agent, name, type)),
    sinks: sinkStatuses(agent),
  };
}

function channelStatus({ metrics }: Agent, name: string, type: string): ChannelStatus {
  const read = (metric: string): number | undefined => {
    const samples = metrics.families.get(metric)?.samples ?? [];
    const sample = samples.find(({ labels }) => labels["component"] === name);
    try {
      const value = sample?.read();
      return typeof value === "number" && Number.isFinite(value) ? value : undefined;
    } catch {
      // What it cannot tell is not known; a scrape says why.
      return undefined;
    }
  };
  const bytes = read("millrace_channel_bytes");
  const capacityBytes = read("millrace_channel_capacity_bytes");
  const oldestAgeSeconds = read("millrace_channel_oldest_event_age_seconds");
  const events = read("millrace_channel_events") ?? 0;
  return {
    ...{ name, type, events },
    ...(bytes === undefined ? {} : { bytes }),
    ...(capacityBytes === undefined ? {} : { capacityBytes }),
    ...(oldestAgeSeconds === undefined || events === 0 ? {} : { oldestAgeSeconds }),
  };
}

function sinkStatuses(agent: Agent): SinkStatus[] {
  const { groups, sinks } = agent.configuration;
  const health = agent.sinkHealth();
  const groupOf = (sink: string): string | undefined =>
    [...groups.values()].find((group) => group.sinks.includes(sink))?.name;
  return [...sinks.values()].map(({ channel, name, type }) => {
    const group = groupOf(name);
    const failing = health.get(name)?.failing;
    const { code, message } = failing?.error ?? { code: "", message: "" };
    return {
      ...{ name, type, channel },
      ...(group === undefined ? {} : { group }),
      ...(failing === undefined ? {} : { lastError: { code, message, sinceMs: failing.sinceMs } }),
    };
  });
}
