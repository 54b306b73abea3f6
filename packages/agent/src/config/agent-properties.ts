import { didYouMean, nearestName } from "./nearest-name.ts";
import type { Place, Problem } from "./problem.ts";
import type { Property } from "./read-property-files.ts";

/** Flume's words behind the agent's name. */
export const groups = ["sources", "channels", "sinks", "sinkgroups", "configfilters"] as const;
export type Group = (typeof groups)[number];

/** A component's own properties, by the key behind its name, values with references replaced. */
export interface ComponentProperties {
  readonly name: string;
  /** `a1.sources.r1.` */
  readonly prefix: string;
  /** Its type, or whatever of it stands first. */
  readonly place: Place;
  readonly properties: ReadonlyMap<string, Property>;
}

/** One agent's properties in Flume's order of things: lists of names, and what each name has. */
export interface AgentProperties {
  readonly agent: string;
  /** Listed components that have properties, in the order of the list. */
  readonly components: Readonly<Record<Group, readonly ComponentProperties[]>>;
  /** `<agent>.discardOnReload`: channels whose events a reload may give up. */
  readonly discardOnReload: readonly string[];
  readonly problems: readonly Problem[];
}

/**
 * Picks the agent's properties out of all of them: `<agent>.<group> = names` and
 * `<agent>.<group>.<name>.<key> = value`. Whatever has another shape is reported. Undefined when no
 * property belongs to the agent; then the problem names the agents there are.
 */
export function readAgentProperties(
  properties: ReadonlyMap<string, Property>,
  agent: string,
  usedAsVariable: ReadonlySet<string>,
): AgentProperties {
  const problems: Problem[] = [];
  const lists = new Map<Group, Property>();
  const found = new Map<Group, Map<string, Map<string, Property>>>();
  let discardOnReload: readonly string[] = [];
  const report = (
    severity: Problem["severity"],
    { file, line, column }: Place,
    property: string,
    message: string,
  ): void => {
    problems.push({ severity, file, line, column, property, message });
  };

  for (const property of properties.values()) {
    const shape = shapeOf(property, agent);
    switch (shape.is) {
      case "other-agent":
        break;
      case "wrong":
        if (!usedAsVariable.has(property.key))
          report("warning", property, property.key, shape.message);
        break;
      case "discardOnReload":
        discardOnReload = property.value.split(/\s+/).filter((name) => name !== "");
        break;
      case "list":
        lists.set(shape.group, property);
        break;
      case "component": {
        if (property.value === "") {
          report("warning", property, property.key, "has no value and is left out");
          break;
        }
        let names = found.get(shape.group);
        if (names === undefined) found.set(shape.group, (names = new Map()));
        let own = names.get(shape.name);
        if (own === undefined) names.set(shape.name, (own = new Map()));
        own.set(shape.key, property);
        break;
      }
    }
  }

  if (lists.size === 0 && found.size === 0) problems.push(noSuchAgent(properties, agent));
  else problems.push(...misspeltAgents(properties, agent, usedAsVariable));
  const components = Object.fromEntries(
    groups.map((group) => [
      group,
      listed(agent, group, lists.get(group), found.get(group) ?? new Map(), report),
    ]),
  ) as unknown as AgentProperties["components"];
  return { agent, components, discardOnReload, problems };
}

type Shape =
  | { is: "other-agent" }
  | { is: "wrong"; message: string }
  | { is: "discardOnReload" }
  | { is: "list"; group: Group }
  | { is: "component"; group: Group; name: string; key: string };

function shapeOf({ key }: Property, agent: string): Shape {
  const dot = key.indexOf(".");
  if (dot < 0) return { is: "wrong", message: "is not <agent>.<property>: there is no dot in it" };
  if (dot === 0) return { is: "wrong", message: "names no agent before its first dot" };
  if (dot === key.length - 1) return { is: "wrong", message: "names no property behind its agent" };
  if (key.slice(0, dot) !== agent) return { is: "other-agent" };
  if (key.slice(dot + 1) === "discardOnReload") return { is: "discardOnReload" };
  const [word = "", name, ...rest] = key.slice(dot + 1).split(".");
  const group = groups.find((candidate) => candidate === word);
  if (group === undefined) {
    const nearest = nearestName(word, [...groups, "discardOnReload"]);
    const meant =
      nearest === undefined ? undefined : [agent, nearest, ...tail(name, rest)].join(".");
    return {
      is: "wrong",
      message: `"${word}" is none of ${groups.join(", ")}${
        meant === undefined ? "" : `; did you mean ${meant}?`
      }`,
    };
  }
  if (name === undefined) return { is: "list", group };
  if (name === "" || rest.join(".") === "") {
    return { is: "wrong", message: `is not ${agent}.${group}.<name>.<property>` };
  }
  return { is: "component", group, name, key: rest.join(".") };
}

function tail(name: string | undefined, rest: readonly string[]): string[] {
  return name === undefined ? [] : [name, ...rest];
}

/** The listed names that have properties; says which have none, and which are not listed. */
function listed(
  agent: string,
  group: Group,
  list: Property | undefined,
  found: ReadonlyMap<string, ReadonlyMap<string, Property>>,
  report: (severity: Problem["severity"], at: Place, property: string, message: string) => void,
): ComponentProperties[] {
  const names = (list?.value ?? "").split(/\s+/).filter((name) => name !== "");
  const components: ComponentProperties[] = [];
  const seen = new Set<string>();
  for (const name of names) {
    if (list === undefined) break;
    if (seen.has(name)) {
      report("note", list, list.key, `names ${name} twice`);
      continue;
    }
    seen.add(name);
    const properties = found.get(name);
    if (properties === undefined) {
      const why = name.includes(",")
        ? "; names are separated by blanks, not commas"
        : didYouMean(
            name,
            [...found.keys()].filter((other) => !names.includes(other)),
          );
      report("error", list, list.key, `lists ${name}, which has no properties${why}`);
      continue;
    }
    components.push({
      name,
      prefix: `${agent}.${group}.${name}.`,
      place: placeOf(properties),
      properties,
    });
  }
  for (const [name, properties] of found) {
    if (seen.has(name)) continue;
    const where =
      list === undefined ? `there is no ${agent}.${group}` : `${list.key} does not list it`;
    report("warning", placeOf(properties), `${agent}.${group}.${name}`, `is left out: ${where}`);
  }
  return components;
}

/** The names a component lists that are declared, whether or not what they name has errors. */
export function listedOf(
  { properties }: ComponentProperties,
  key: "channels" | "sinks",
  declared: readonly string[],
): string[] {
  const names = new Set(properties.get(key)?.value.split(/\s+/));
  return [...names].filter((name) => declared.includes(name));
}

function placeOf(properties: ReadonlyMap<string, Property>): Place {
  const [first] = properties.values();
  return properties.get("type") ?? (first as Property);
}

/** Agents that have at least one list of names. */
export function agentsIn(properties: ReadonlyMap<string, Property>): string[] {
  const agents = new Set<string>();
  for (const key of properties.keys()) {
    const [agent = "", word, ...rest] = key.split(".");
    if (agent !== "" && rest.length === 0 && groups.some((group) => group === word))
      agents.add(agent);
  }
  return [...agents];
}

function noSuchAgent(properties: ReadonlyMap<string, Property>, agent: string): Problem {
  const agents = agentsIn(properties);
  const files = [...new Set([...properties.values()].map(({ file }) => file))];
  const where = files.length === 0 ? "the configuration" : files.join(", ");
  const has = agents.length === 0 ? "no agent at all" : agents.join(", ");
  return {
    severity: "error",
    file: "",
    line: 0,
    column: 0,
    property: "",
    message: `no agent ${agent} in ${where}; it has ${has}`,
  };
}

/** `al.sources.r1.type` beside agent a1: properties of an agent that lists nothing. */
function misspeltAgents(
  properties: ReadonlyMap<string, Property>,
  agent: string,
  usedAsVariable: ReadonlySet<string>,
): Problem[] {
  const agents = new Set(agentsIn(properties));
  const seen = new Set<string>();
  const problems: Problem[] = [];
  for (const { key, file, line, column } of properties.values()) {
    const [other = "", word] = key.split(".");
    if (other === agent || agents.has(other) || seen.has(other) || usedAsVariable.has(key))
      continue;
    if (!groups.some((group) => group === word) || nearestName(other, [agent]) === undefined)
      continue;
    seen.add(other);
    const message = `belongs to agent ${other}, which lists nothing; did you mean ${agent}?`;
    problems.push({ severity: "warning", file, line, column, property: key, message });
  }
  return problems;
}
