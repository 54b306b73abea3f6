import {
  type Channel,
  type CounterGroup,
  type Lifecycle,
  type MillraceError,
  type SinkHealth,
  stampCounters,
} from "@millrace/core";
import type { AgentConfiguration, SourceConfig } from "../config/agent-configuration.ts";
import type { ComponentConfig } from "../config/check-component.ts";
import type { MetricsRegistry } from "../monitoring/metrics-registry.ts";
import type { MakerOptions } from "./component-maker.ts";
import type { FlumeCounters } from "./flume-counters.ts";
import { type Failure, failureOf, type Runnable } from "./runnable.ts";
import type { SinkUnit } from "./sink-units.ts";

/** What is started, stopped and replaced as one, with its counters. */
export interface Part extends Runnable {
  readonly counterGroups: readonly CounterGroup[];
  /** Takes its metrics away, when it is not used any more. */
  release(): void;
}

export interface ChannelPart extends Part {
  /** What it has now: new limits are taken over while it runs. */
  config: ComponentConfig<"channel">;
  readonly channel: Channel;
}

/** A sink or a group of them with its runner. */
export interface SinkPart extends Part {
  readonly unit: SinkUnit;
  /** Of each sink, by its name. */
  readonly health: ReadonlyMap<string, SinkHealth>;
  drain(deadline: AbortSignal): Promise<void>;
}

export interface SourcePart extends Part {
  readonly config: SourceConfig;
}

export interface PartOptions extends Omit<MakerOptions, "metrics"> {
  readonly metrics: MetricsRegistry;
  readonly flumeCounters: FlumeCounters;
  /** What runs: once a reload has changed limits of channels, that one. */
  readonly running: () => AgentConfiguration;
  /** Whether a stop empties durable channels as well. */
  readonly drainsDurable: boolean;
  /** Told of errors whose answer is `fatal`, with the component that met them. */
  readonly onFatal: (component: string, error: MillraceError) => void;
}

/** Thrown when a part could not be made. Nothing of it is left behind. */
export class PartFailed extends Error {
  readonly failure: Failure;

  constructor(failure: Failure) {
    super(`${failure.title}: ${failure.error.message}`, { cause: failure.error });
    this.failure = failure;
  }
}

/** What the making of a part gathers on its way. */
export interface PartBuild {
  readonly options: MakerOptions & Pick<PartOptions, "running" | "onFatal" | "drainsDurable">;
  readonly counterGroups: CounterGroup[];
  /** Flume's counters of one component, with those of its forerunner. */
  counters<T extends object>(kind: CounterGroup["kind"], of: Named, create: () => T): T;
  /** Adds a counter group, and stamps it when the lifecycle starts and stops. */
  counted(lifecycle: Lifecycle, group: Omit<CounterGroup, "startTimeMs" | "stopTimeMs">): Lifecycle;
}

interface Named {
  readonly name: string;
  readonly type: string;
}

/** Makes a part; throws PartFailed alone. */
export async function makePart<T>(
  options: PartOptions,
  { title, name }: Pick<Runnable, "title" | "name">,
  make: (build: PartBuild) => Promise<T>,
): Promise<T & Pick<Part, "title" | "name" | "counterGroups" | "release">> {
  const { build, release } = createPartBuild(options);
  try {
    const { counterGroups } = build;
    return { title, name, ...(await make(build)), counterGroups, release };
  } catch (error) {
    release();
    throw error instanceof PartFailed ? error : new PartFailed(failureOf({ title, name }, error));
  }
}

function createPartBuild(options: PartOptions): { build: PartBuild; release: () => void } {
  const { clock } = options.runtime;
  const { flumeCounters } = options;
  const scope = options.metrics.scope();
  const counterGroups: CounterGroup[] = [];
  const claimed: string[] = [];
  const build: PartBuild = {
    options: { ...options, metrics: scope },
    counterGroups,
    counters(kind, { name, type }, create) {
      const key = `${kind} ${name} ${type}`;
      claimed.push(key);
      return flumeCounters.claim(key, create);
    },
    counted(lifecycle, group) {
      const stamped = { ...group, startTimeMs: 0, stopTimeMs: 0 };
      counterGroups.push(stamped);
      return {
        async start(aborted) {
          await lifecycle.start(aborted);
          stampCounters(stamped, "start", clock);
        },
        async stop(deadline) {
          await lifecycle.stop(deadline);
          if (stamped.startTimeMs > 0 && stamped.stopTimeMs === 0) {
            stampCounters(stamped, "stop", clock);
          }
        },
      };
    },
  };
  const release = (): void => {
    scope.release();
    for (const key of claimed.splice(0)) flumeCounters.release(key);
  };
  return { build, release };
}
