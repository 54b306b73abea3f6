import type { OptionSpecs } from "@millrace/core";
import { isDeepStrictEqual } from "node:util";
import type { AgentConfiguration } from "../config/agent-configuration.ts";
import type { ComponentConfig } from "../config/check-component.ts";

/** What a configuration would change of the one that runs. */
export interface ConfigurationChanges {
  /** Channels that can take what is new of them while they run. */
  readonly resized: readonly ResizedChannel[];
  /** What only a restart brings about, as properties: `a1.sources.r1.port`, `a1.sinks.k2 (new)`. */
  readonly restart: readonly string[];
}

export interface ResizedChannel {
  readonly channel: ComponentConfig<"channel">;
  readonly changes: readonly OptionChange[];
}

export interface OptionChange {
  /** The full key. */
  readonly key: string;
  /** The name in code. */
  readonly option: string;
  readonly from: string;
  readonly to: string;
}

/**
 * Compares what is configured, not how it is written: a default that is spelt out, another order of
 * lines or another file change nothing.
 */
export function compareConfigurations(
  running: AgentConfiguration,
  wanted: AgentConfiguration,
): ConfigurationChanges {
  const { agent } = running;
  const resized: ResizedChannel[] = [];
  const restart: string[] = [];
  const same = (key: string, a: unknown, b: unknown): void => {
    if (!isDeepStrictEqual(a, b)) restart.push(key);
  };
  const component = (prefix: string, a: ComponentConfig, b: ComponentConfig): void => {
    restart.push(...componentChanges(prefix, a, b).map(({ key }) => key));
  };

  each(`${agent}.channels`, running.channels, wanted.channels, restart, (prefix, a, b) => {
    const changes = componentChanges(prefix, a, b);
    const { resizable = [] } = b.definition;
    const fixed = changes.filter(({ option }) => !resizable.some((name) => name === option));
    restart.push(...fixed.map(({ key }) => key));
    if (changes.length > 0 && fixed.length === 0) resized.push({ channel: b, changes });
  });
  each(`${agent}.sources`, running.sources, wanted.sources, restart, (prefix, a, b) => {
    component(prefix, a, b);
    same(`${prefix}channels`, a.channels, b.channels);
    component(`${prefix}selector.`, a.selector, b.selector);
    const names = (config: typeof a): string[] => config.interceptors.map(({ name }) => name);
    same(`${prefix}interceptors`, names(a), names(b));
    for (const interceptor of b.interceptors) {
      const before = a.interceptors.find(({ name }) => name === interceptor.name);
      if (before === undefined) continue;
      component(`${prefix}interceptors.${interceptor.name}.`, before, interceptor);
    }
  });
  each(`${agent}.sinks`, running.sinks, wanted.sinks, restart, (prefix, a, b) => {
    component(prefix, a, b);
    same(`${prefix}channel`, a.channel, b.channel);
  });
  each(`${agent}.sinkgroups`, running.groups, wanted.groups, restart, (prefix, a, b) => {
    same(`${prefix}sinks`, a.sinks, b.sinks);
    component(`${prefix}processor.`, a.processor, b.processor);
  });
  return { resized, restart };
}

/** Visits what is in both, and lists what is in one only. */
function each<T>(
  group: string,
  running: ReadonlyMap<string, T>,
  wanted: ReadonlyMap<string, T>,
  restart: string[],
  compare: (prefix: string, a: T, b: T) => void,
): void {
  for (const [name, a] of running) {
    const b = wanted.get(name);
    if (b === undefined) restart.push(`${group}.${name} (gone)`);
    else compare(`${group}.${name}.`, a, b);
  }
  for (const name of wanted.keys()) {
    if (!running.has(name)) restart.push(`${group}.${name} (new)`);
  }
}

/** The options that differ; the type alone where that does. Parts are options like others. */
function componentChanges(prefix: string, a: ComponentConfig, b: ComponentConfig): OptionChange[] {
  if (a.type !== b.type) {
    return [{ key: `${prefix}type`, option: "type", from: a.type, to: b.type }];
  }
  const specs: OptionSpecs = b.definition.options;
  const before: Record<string, unknown> = a.options;
  const after: Record<string, unknown> = b.options;
  return Object.entries(specs)
    .filter(([option]) => !isDeepStrictEqual(before[option], after[option]))
    .map(([option, { key }]) => ({
      key: prefix + key,
      option,
      from: valueText(before[option]),
      to: valueText(after[option]),
    }));
}

function valueText(value: unknown): string {
  return value === undefined ? "not set" : String(value);
}
