import type { ComponentConfig } from "./check-component.ts";
import type { Problem } from "./problem.ts";

export interface SourceConfig extends ComponentConfig<"source"> {
  /** In the order they were written; each is a channel of the configuration. */
  readonly channels: readonly string[];
  readonly selector: ComponentConfig<"selector">;
  readonly interceptors: readonly ComponentConfig<"interceptor">[];
  /** Channels that the selector may do without: a failed put there is not an error. */
  readonly optionalChannels: ReadonlySet<string>;
}

export interface SinkConfig extends ComponentConfig<"sink"> {
  readonly channel: string;
}

/** Sinks of one channel that take turns or stand in for each other. */
export interface SinkGroupConfig {
  readonly name: string;
  readonly sinks: readonly string[];
  readonly channel: string;
  readonly processor: ComponentConfig<"sink-processor">;
}

/** What runs: every name in it is there, every option is whole. */
export interface AgentConfiguration {
  readonly agent: string;
  readonly channels: ReadonlyMap<string, ComponentConfig<"channel">>;
  readonly sources: ReadonlyMap<string, SourceConfig>;
  readonly sinks: ReadonlyMap<string, SinkConfig>;
  readonly groups: ReadonlyMap<string, SinkGroupConfig>;
  /** Channels whose events a reload to this configuration may give up. */
  readonly discardOnReload: ReadonlySet<string>;
  /** A number of the files' content: the same wherever the same files run. */
  readonly generation: number;
}

export interface Dropped {
  readonly kind: "source" | "channel" | "sink" | "sink group";
  readonly name: string;
}

/** What came of reading a configuration. */
export interface LoadedConfiguration {
  /** What is left when every broken part is taken out, as Flume does. */
  readonly configuration: AgentConfiguration;
  /** Listed components that are not in it, with everything that depended on them. */
  readonly dropped: readonly Dropped[];
  /** All of them, by file and line. */
  readonly problems: readonly Problem[];
  /**
   * Whether the configuration may run: in strict mode no problem is an error; in lenient mode a
   * channel and a source or sink are left.
   */
  readonly startable: boolean;
}
