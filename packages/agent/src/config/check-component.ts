import {
  type ComponentKind,
  type Definition,
  type OptionSpecs,
  parseOptions,
  type PartKind,
  type PartRef,
  type Runtime,
} from "@millrace/core";
import { nearestName } from "./nearest-name.ts";
import { findDefinition, type KnownDefinitions } from "./find-definition.ts";
import type { Place, Problem } from "./problem.ts";
import type { Property } from "./read-property-files.ts";
import { type Neighbours, tryToMake } from "./try-to-make.ts";

/** A component whose type is known and whose options are whole. */
export interface ComponentConfig<K extends ComponentKind = ComponentKind> {
  readonly kind: K;
  readonly name: string;
  /** Flume's type name, whichever alias was written. */
  readonly type: string;
  readonly definition: Definition<K>;
  readonly options: never;
  /** The definitions of the parts that its options name, by prefix. */
  readonly parts: ReadonlyMap<string, PartConfig>;
  readonly place: Place;
}

export interface PartConfig {
  readonly definition: Definition<PartKind>;
  readonly options: never;
  readonly parts: ReadonlyMap<string, PartConfig>;
}

export interface ComponentGiven {
  readonly name: string;
  /** The full key's beginning: `a1.sources.r1.` or `a1.sources.r1.selector.` */
  readonly prefix: string;
  readonly place: Place;
  /** By the key behind the prefix; `type` among them. */
  readonly properties: ReadonlyMap<string, Property>;
  /** The type when none is written. */
  readonly defaultType?: string;
  /** A selector's channels, a sink processor's sinks, those with errors of their own included. */
  readonly neighbours?: Neighbours;
}

/** What every check needs. */
export interface CheckContext extends KnownDefinitions {
  readonly agent: string;
  readonly runtime: Runtime;
  readonly report: Report;
  /** The -D words. */
  readonly systemProperties: ReadonlyMap<string, string>;
}

export type Report = (
  severity: Problem["severity"],
  place: Place,
  property: string,
  message: string,
) => void;

/**
 * Finds the component's type and reads its options and parts, reporting every problem. Undefined
 * when one of them was an error.
 */
export async function checkComponent<K extends ComponentKind>(
  kind: K,
  given: ComponentGiven,
  check: CheckContext,
): Promise<ComponentConfig<K> | undefined> {
  const { agent, runtime, report, systemProperties } = check;
  const { name, prefix, place } = given;
  const typeProperty = given.properties.get("type");
  const type = typeProperty?.value ?? given.defaultType;
  if (type === undefined) {
    report("error", place, `${prefix}type`, `is required: the type of the ${kind}`);
    return undefined;
  }
  const at = typeProperty ?? place;
  const found = await findDefinition(kind, type, at, check);
  if ("problem" in found) {
    report("error", at, `${prefix}type`, found.problem);
    return undefined;
  }
  const { definition } = found;
  const own = new Map(given.properties);
  own.delete("type");
  if (!("config" in definition.options)) own.delete("config");
  const checked = await checkOptions(definition, { prefix, place, properties: own }, check);
  if (checked === undefined) return undefined;
  const config = { kind, name, type: definition.type, definition, place, ...checked };
  const error = await tryToMake({ agent, runtime, systemProperties }, config, given.neighbours);
  if (error === undefined) {
    for (const note of definition.notes?.(config.options, given.neighbours?.sinks ?? []) ?? []) {
      const { key, message } = note;
      report("note", given.properties.get(key) ?? place, prefix + key, message);
    }
    return config;
  }
  // A selector and a processor know their keys as the source's and the group's.
  const key = String(error.context["key"] ?? "type").replace(/^(selector|processor)\./, "");
  const ofGroup = key === "sinks";
  const where = (ofGroup ? given.neighbours?.place : given.properties.get(key)) ?? place;
  report(
    "error",
    where,
    (ofGroup ? prefix.replace(/processor\.$/, "") : prefix) + key,
    error.message,
  );
  return undefined;
}

interface OptionsGiven {
  readonly prefix: string;
  readonly place: Place;
  readonly properties: ReadonlyMap<string, Property>;
}

async function checkOptions(
  definition: Definition,
  { prefix, place, properties }: OptionsGiven,
  check: CheckContext,
): Promise<{ options: never; parts: ReadonlyMap<string, PartConfig> } | undefined> {
  const { report, systemProperties } = check;
  const values = new Map([...properties].map(([key, { value }]) => [key, value]));
  const parsed = parseOptions(definition.options, values);
  const at = (key: string): Place => properties.get(key) ?? place;
  let whole = parsed.problems.length === 0;
  for (const { key, message, expected } of parsed.problems) {
    const text = message === "is required" ? `is required: ${expected}` : message;
    report("error", at(key), prefix + key, text);
  }
  for (const key of parsed.unknownKeys) {
    const near = nearestKey(key, definition.options);
    const meant = near === undefined ? "" : `; did you mean ${near}?`;
    report("warning", at(key), prefix + key, `unknown property${meant}`);
  }
  for (const { key, why } of parsed.notes) report("note", at(key), prefix + key, why);
  if (whole && definition.check !== undefined) {
    for (const { key, message } of definition.check(parsed.options, systemProperties)) {
      whole = false;
      report("error", at(key), prefix + key, message);
    }
  }
  const parts = new Map<string, PartConfig>();
  for (const [name, spec] of Object.entries(definition.options)) {
    if (spec.form !== "part") continue;
    const ref = parsed.options[name] as PartRef;
    const part = await checkPart(ref, spec.key, { prefix, place, properties }, check);
    if (part === undefined) whole = false;
    else parts.set(ref.prefix, part);
  }
  return whole ? { options: parsed.options as never, parts } : undefined;
}

async function checkPart(
  ref: PartRef,
  key: string,
  { prefix, place, properties }: OptionsGiven,
  check: CheckContext,
): Promise<PartConfig | undefined> {
  const { report } = check;
  const at = properties.get(key) ?? place;
  const found = await findDefinition(ref.kind, ref.type, at, check);
  if ("problem" in found) {
    report("error", at, prefix + key, found.problem);
    return undefined;
  }
  const own = new Map<string, Property>();
  for (const rest of ref.properties.keys()) {
    const property = properties.get(ref.prefix + rest);
    if (property !== undefined) own.set(rest, property);
  }
  const { definition } = found;
  const given = { prefix: prefix + ref.prefix, place: at, properties: own };
  const checked = await checkOptions(definition, given, check);
  return checked && { definition, ...checked };
}

/** The key that was probably meant, with what stands behind a prefix carried over. */
function nearestKey(key: string, specs: OptionSpecs): string | undefined {
  const whole = Object.values(specs).filter(({ form }) => form !== "prefix");
  const meant = nearestName(
    key,
    whole.map((spec) => spec.key),
  );
  if (meant !== undefined) return meant;
  for (const spec of Object.values(specs)) {
    if (spec.form !== "prefix" && spec.form !== "part") continue;
    const depth = spec.key.split(".").length;
    const segments = key.split(".");
    if (segments.length <= depth) continue;
    if (nearestName(segments.slice(0, depth).join("."), [spec.key]) === undefined) continue;
    return `${spec.key}.${segments.slice(depth).join(".")}`;
  }
  return undefined;
}
