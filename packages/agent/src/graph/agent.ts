import type { CounterGroup, Labels, Log, MillraceError, Runtime, SinkHealth } from "@millrace/core";
import type { AgentConfiguration } from "../config/agent-configuration.ts";
import type { MetricsRegistry } from "../monitoring/metrics-registry.ts";
import type { Readiness } from "../monitoring/monitoring-server.ts";
import type { MonitoringSettings } from "../monitoring/monitoring-settings.ts";
import type { ReloadOutcome } from "../reload/apply-reload.ts";

export interface AgentOptions {
  readonly configuration: AgentConfiguration;
  /**
   * `strict`: what does not start stops the whole start. `lenient`, as Flume: it is tried again
   * every three seconds; sources and sinks do not wait for each other, but both for the channels.
   */
  readonly mode: "strict" | "lenient";
  readonly runtime: Runtime;
  /** The log of a component, by its name; the agent's own lines come under the agent's. */
  readonly log: (component: string) => Log;
  /** Served while the agent starts, runs and drains. */
  readonly monitoring?: MonitoringSettings;
  /** Labels of every metric, such as the agent's role. */
  readonly labels?: Labels;
  /** What `~` means; the user's home directory when not given. */
  readonly home?: string;
  /** The -D words, for what is set for all components at once; none when not given. */
  readonly systemProperties?: ReadonlyMap<string, string>;
  /** Whether a stop lets sinks empty durable channels as well; not when not given. */
  readonly drainsDurable?: boolean;
  /** How long a reload lets what it replaces finish; 30 s when not given. */
  readonly reloadDrainMs?: number;
}

export type AgentState = "idle" | "starting" | "running" | "draining" | "stopped" | "failed";

/** A running configuration. It is started once and stopped once. */
export interface Agent {
  readonly state: AgentState;
  /** What runs, or ran last: with what reloads have changed. */
  readonly configuration: AgentConfiguration;
  /** Where the monitoring port listens, once it does. */
  readonly monitoringPort: number | undefined;
  readonly metrics: MetricsRegistry;
  counterGroups(): readonly CounterGroup[];
  readiness(): Readiness;
  /** How the deliveries of each sink go, by its name. */
  sinkHealth(): ReadonlyMap<string, SinkHealth>;
  /**
   * Channels, then sinks, then sources. Rejects with the first error when a component does not start
   * (strict), after everything that had started is stopped again.
   */
  start(): Promise<void>;
  /**
   * Sources stop taking; sinks deliver until the channels that are not durable (all of them, with
   * `drainsDurable`) are empty; then sinks and channels stop. What is not done at the deadline is
   * given up. Never rejects.
   */
  stop(deadline: AbortSignal): Promise<void>;
  /**
   * Takes over another configuration that is whole and startable, while it runs: what has changed is
   * stopped and started, the rest goes on. One reload after the other; during a start it waits for
   * its end. The log says what came of it. Never rejects for what an operator wrote.
   */
  reload(wanted: AgentConfiguration): Promise<ReloadOutcome>;
  /** Counts a configuration that was read again and may not even be tried. */
  rejectReload(): void;
  /** Resolves at the first error that makes it wrong to go on. The caller then stops the agent. */
  readonly failed: Promise<MillraceError>;
}
