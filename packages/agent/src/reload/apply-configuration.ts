import type { Channel, Log } from "@millrace/core";
import type { AgentConfiguration } from "../config/agent-configuration.ts";
import { compareConfigurations } from "./compare-configurations.ts";

export type ReloadOutcome = "unchanged" | "applied" | "needs-restart" | "not-running";

/**
 * Brings running channels to another configuration where nothing but options that they can take is
 * new in it; else changes nothing, and names all that would need a restart. The log says which.
 */
export function applyConfiguration(
  running: AgentConfiguration,
  wanted: AgentConfiguration,
  channels: ReadonlyMap<string, Channel>,
  log: Log,
): ReloadOutcome {
  const { resized, restart } = compareConfigurations(running, wanted);
  const ready = resized.map(({ channel: config, changes }) => {
    const channel = channels.get(config.name);
    return { channel, config, changes };
  });
  const waiting = ready
    .filter(({ channel }) => channel?.reconfigure === undefined)
    .flatMap(({ changes }) => changes.map(({ key }) => key));
  const all = [...restart, ...waiting];
  if (all.length > 0) {
    log.warn(
      "the new configuration is not taken over, and nothing was changed: " +
        `only a restart of the agent brings about ${all.join(", ")}`,
    );
    return "needs-restart";
  }
  if (resized.length === 0) {
    log.info("the configuration was read again: nothing in it has changed");
    return "unchanged";
  }
  for (const { channel, config, changes } of ready) {
    channel?.reconfigure?.(config.options);
    for (const { key, from, to } of changes) log.info(`${key} is ${to} now; it was ${from}`);
  }
  return "applied";
}
