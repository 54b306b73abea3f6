import type { SinkConfig, SinkGroupConfig } from "./agent-configuration.ts";
import { type AgentProperties, type ComponentProperties, listedOf } from "./agent-properties.ts";
import { type CheckContext, checkComponent, type Report } from "./check-component.ts";
import { didYouMean } from "./nearest-name.ts";
import type { Property } from "./read-property-files.ts";

/**
 * The groups whose members are there, are in no other group, and share one channel. A sink of a
 * group that is left out runs on its own.
 */
export async function checkSinkGroups(
  components: AgentProperties["components"],
  sinks: ReadonlyMap<string, SinkConfig>,
  check: CheckContext,
): Promise<Map<string, SinkGroupConfig>> {
  const declared = components.sinks.map(({ name }) => name);
  const groups = new Map<string, SinkGroupConfig>();
  const groupOf = new Map<string, string>();
  for (const component of components.sinkgroups) {
    const members = checkMembers(component, sinks, declared, groupOf, check.report);
    const group = await checkGroup(component, members, declared, sinks, check);
    if (group === undefined) continue;
    groups.set(group.name, group);
    for (const name of group.sinks) groupOf.set(name, group.name);
  }
  return groups;
}

/** The members that are there and free. */
function checkMembers(
  { properties, prefix, place }: ComponentProperties,
  sinks: ReadonlyMap<string, SinkConfig>,
  declared: readonly string[],
  groupOf: ReadonlyMap<string, string>,
  report: Report,
): string[] {
  const list = properties.get("sinks");
  if (list === undefined) {
    report("error", place, `${prefix}sinks`, "is required: the names of the group's sinks");
    return [];
  }
  const names = new Set(list.value.split(/\s+/));
  for (const name of names) {
    const other = groupOf.get(name);
    if (!declared.includes(name)) {
      report("error", list, list.key, `no sink ${name}${didYouMean(name, declared)}`);
    } else if (!sinks.has(name)) {
      report("note", list, list.key, `sink ${name} has errors of its own`);
    } else if (other !== undefined) {
      report("error", list, list.key, `sink ${name} is in group ${other} already`);
    } else continue;
    names.delete(name);
  }
  return [...names];
}

async function checkGroup(
  component: ComponentProperties,
  members: readonly string[],
  declared: readonly string[],
  sinks: ReadonlyMap<string, SinkConfig>,
  check: CheckContext,
): Promise<SinkGroupConfig | undefined> {
  const { name, prefix, place, properties } = component;
  const own = new Map<string, Property>();
  for (const [key, property] of properties) {
    if (key.startsWith("processor.")) own.set(key.slice("processor.".length), property);
    else if (key !== "sinks") {
      const near = didYouMean(key, ["sinks", "processor.type"]);
      check.report("warning", property, prefix + key, `unknown property${near}`);
    }
  }
  const given = {
    name,
    prefix: `${prefix}processor.`,
    place: own.get("type") ?? place,
    properties: own,
    neighbours: {
      sinks: listedOf(component, "sinks", declared),
      place: properties.get("sinks") ?? place,
    },
    // Flume asks for a type always; with one sink there is only one it can be.
    ...(members.length === 1 ? { defaultType: "default" } : {}),
  };
  const processor = await checkComponent("sink-processor", given, check);
  const channels = new Set(members.map((member) => sinks.get(member)?.channel));
  const [channel] = channels;
  if (channels.size > 1) {
    const list = members.map((member) => `${member} reads ${sinks.get(member)?.channel}`);
    const message = `the sinks of a group share one channel, but ${list.join(", ")}`;
    check.report("error", properties.get("sinks") ?? place, `${prefix}sinks`, message);
    return undefined;
  }
  if (processor === undefined || channel === undefined) return undefined;
  return { name, sinks: members, channel, processor };
}
