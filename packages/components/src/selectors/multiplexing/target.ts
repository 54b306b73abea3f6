import { type Channel, MillraceError, type SelectorContext } from "@millrace/core";
import { knownChannels } from "../known-channels.ts";
import type { Options } from "./options.ts";

/** Where events with one value of the header go. */
export interface Target {
  readonly required: readonly Channel[];
  readonly optional: readonly Channel[];
}

export interface Targets {
  /** By the raw value of the header. */
  readonly byValue: ReadonlyMap<string, Target>;
  /** For events without the header, or with any other value. */
  readonly otherwise: Target;
}

/**
 * The targets that the options describe: per value, the mapped channels or else the default ones, and
 * beside them the optional ones that are not among these. Throws CONFIG_INVALID.
 */
export function readTargets(options: Options, context: SelectorContext): Targets {
  const defaults = knownChannels(options.default, "selector.default", context);
  const mapped = readLists(options.mapping, "selector.mapping", context);
  const optional = readLists(options.optional, "selector.optional", context);
  const byValue = new Map<string, Target>();
  for (const value of new Set([...mapped.keys(), ...optional.keys()])) {
    const required = mapped.get(value) ?? defaults;
    const beside = optional.get(value) ?? [];
    byValue.set(value, {
      required,
      optional: beside.filter((channel) => !required.includes(channel)),
    });
  }
  return { byValue, otherwise: { required: defaults, optional: [] } };
}

function readLists(
  lists: ReadonlyMap<string, string>,
  prefix: string,
  context: SelectorContext,
): Map<string, Channel[]> {
  const channels = new Map<string, Channel[]>();
  for (const [value, text] of lists) {
    const key = `${prefix}.${value}`;
    const names = text.split(/\s+/).filter((name) => name !== "");
    if (names.length === 0) {
      throw new MillraceError("CONFIG_INVALID", `${key} names no channel`, { context: { key } });
    }
    channels.set(value, knownChannels(names, key, context));
  }
  return channels;
}
