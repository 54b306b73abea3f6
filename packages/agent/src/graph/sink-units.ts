import type {
  AgentConfiguration,
  SinkConfig,
  SinkGroupConfig,
} from "../config/agent-configuration.ts";

/** What one runner runs: a group with its members, or a sink that is in none. */
export interface SinkUnit {
  /** `group g1` or `sink k1`. */
  readonly key: string;
  readonly name: string;
  readonly channel: string;
  readonly group?: SinkGroupConfig;
  /** In the order of the group. */
  readonly sinks: readonly SinkConfig[];
}

/** Groups first, then each sink that is in none. */
export function sinkUnits({ sinks, groups }: AgentConfiguration): readonly SinkUnit[] {
  const alone = new Map(sinks);
  const units = [...groups.values()].map((group): SinkUnit => {
    const members = group.sinks.flatMap((name) => sinks.get(name) ?? []);
    for (const { name } of members) alone.delete(name);
    const { name, channel } = group;
    return { key: `group ${name}`, name, channel, group, sinks: members };
  });
  return [...units, ...[...alone.values()].map(aloneUnit)];
}

export function aloneUnit(sink: SinkConfig): SinkUnit {
  return { key: `sink ${sink.name}`, name: sink.name, channel: sink.channel, sinks: [sink] };
}
