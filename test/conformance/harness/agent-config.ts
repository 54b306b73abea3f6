import { join } from "node:path";
import type { Settings } from "./transports.ts";

/** A source, a channel and a sink of one agent, in the words that Java Flume and Millrace share. */
export interface Path {
  readonly source: Settings;
  readonly channel: Settings;
  readonly sink: Settings;
}

/**
 * A configuration of paths that have nothing to do with each other; path `x` has source, channel
 * and sink `x`.
 */
export function agentConfig(agent: string, paths: Readonly<Record<string, Path>>): string {
  const names = Object.keys(paths).join(" ");
  const lines = [
    `${agent}.sources = ${names}`,
    `${agent}.channels = ${names}`,
    `${agent}.sinks = ${names}`,
  ];
  for (const [name, { source, channel, sink }] of Object.entries(paths)) {
    lines.push(
      ...settings(`${agent}.sources.${name}`, { channels: name, ...source }),
      ...settings(`${agent}.channels.${name}`, channel),
      ...settings(`${agent}.sinks.${name}`, { channel: name, ...sink }),
    );
  }
  return `${lines.join("\n")}\n`;
}

export function settings(prefix: string, values: Settings): string[] {
  return Object.entries(values).map(([key, value]) => `${prefix}.${key} = ${value}`);
}

/** Holds a whole deck; `keep-alive` 0 as an empty take would otherwise wait for seconds. */
export const memoryChannel: Settings = {
  type: "memory",
  capacity: "100000",
  transactionCapacity: "20000",
};

/** Agent `a1`: source `s`, channel `c`, sink `k`. Without a source it drains. */
export function tierConfig(
  channel: Settings,
  source: Settings | undefined,
  sink: Settings,
): string {
  return [
    ...(source === undefined ? [] : ["a1.sources = s"]),
    "a1.channels = c",
    "a1.sinks = k",
    ...(source === undefined ? [] : settings("a1.sources.s", { channels: "c", ...source })),
    ...settings("a1.channels.c", channel),
    ...settings("a1.sinks.k", { channel: "c", ...sink }),
    "",
  ].join("\n");
}

export function fileChannel(folder: string): Settings {
  return {
    type: "file",
    checkpointDir: join(folder, "checkpoint"),
    dataDirs: join(folder, "data"),
    capacity: "200000",
    minimumRequiredSpace: "1048576",
  };
}
