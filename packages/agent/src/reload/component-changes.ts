import type { OptionSpecs } from "@millrace/core";
import { isDeepStrictEqual } from "node:util";
import type { SinkConfig, SinkGroupConfig, SourceConfig } from "../config/agent-configuration.ts";
import type { ComponentConfig } from "../config/check-component.ts";

/**
 * Compares what is configured, not how it is written: a default that is spelt out, another order of
 * lines or another file change nothing.
 */

export interface OptionChange {
  /** The full key. */
  readonly key: string;
  /** The name in code. */
  readonly option: string;
  readonly from: string;
  readonly to: string;
}

/** The options that differ; the type alone where that does. Parts are options like others. */
export function componentChanges(
  prefix: string,
  a: ComponentConfig,
  b: ComponentConfig,
): OptionChange[] {
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

/** The full keys that differ, of the selector and the interceptors too. */
export function sourceChanges(prefix: string, a: SourceConfig, b: SourceConfig): string[] {
  const names = ({ interceptors }: SourceConfig): string[] => interceptors.map(({ name }) => name);
  const keys = [
    ...keysOf(prefix, a, b),
    ...differs(`${prefix}channels`, a.channels, b.channels),
    ...keysOf(`${prefix}selector.`, a.selector, b.selector),
    ...differs(`${prefix}interceptors`, names(a), names(b)),
  ];
  for (const interceptor of b.interceptors) {
    const before = a.interceptors.find(({ name }) => name === interceptor.name);
    if (before === undefined) continue;
    keys.push(...keysOf(`${prefix}interceptors.${interceptor.name}.`, before, interceptor));
  }
  return keys;
}

export function sinkChanges(prefix: string, a: SinkConfig, b: SinkConfig): string[] {
  return [...keysOf(prefix, a, b), ...differs(`${prefix}channel`, a.channel, b.channel)];
}

/** Of the group alone, not of its members. */
export function groupChanges(prefix: string, a: SinkGroupConfig, b: SinkGroupConfig): string[] {
  return [
    ...differs(`${prefix}sinks`, a.sinks, b.sinks),
    ...keysOf(`${prefix}processor.`, a.processor, b.processor),
  ];
}

function keysOf(prefix: string, a: ComponentConfig, b: ComponentConfig): string[] {
  return componentChanges(prefix, a, b).map(({ key }) => key);
}

function differs(key: string, a: unknown, b: unknown): string[] {
  return isDeepStrictEqual(a, b) ? [] : [key];
}

function valueText(value: unknown): string {
  return value === undefined ? "not set" : String(value);
}
