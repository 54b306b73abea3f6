import type { AgentConfiguration } from "../config/agent-configuration.ts";
import { componentChanges, groupChanges, sinkChanges, sourceChanges } from "./component-changes.ts";

/**
 * What differs between two configurations of an agent, as properties: `a1.sources.r1.port`,
 * `a1.sinks.k2 (new)`, `a1.channels.c2 (gone)`.
 */
export function compareConfigurations(
  running: AgentConfiguration,
  wanted: AgentConfiguration,
): readonly string[] {
  const { agent } = running;
  return [
    ...each(`${agent}.channels`, running.channels, wanted.channels, (prefix, a, b) =>
      componentChanges(prefix, a, b).map(({ key }) => key),
    ),
    ...each(`${agent}.sources`, running.sources, wanted.sources, sourceChanges),
    ...each(`${agent}.sinks`, running.sinks, wanted.sinks, sinkChanges),
    ...each(`${agent}.sinkgroups`, running.groups, wanted.groups, groupChanges),
  ];
}

/** Visits what is in both, and lists what is in one only. */
function each<T>(
  group: string,
  running: ReadonlyMap<string, T>,
  wanted: ReadonlyMap<string, T>,
  compare: (prefix: string, a: T, b: T) => string[],
): string[] {
  const keys: string[] = [];
  for (const [name, a] of running) {
    const b = wanted.get(name);
    if (b === undefined) keys.push(`${group}.${name} (gone)`);
    else keys.push(...compare(`${group}.${name}.`, a, b));
  }
  for (const name of wanted.keys()) {
    if (!running.has(name)) keys.push(`${group}.${name} (new)`);
  }
  return keys;
}
