import {
  type CounterGroup,
  type Lifecycle,
  type MillraceError,
  stampCounters,
} from "@millrace/core";
import type { AgentConfiguration } from "../config/agent-configuration.ts";
import type { ComponentConfig } from "../config/check-component.ts";
import type { MakerOptions } from "./component-maker.ts";
import { type Failure, failureOf, titleOf } from "./runnable.ts";

export interface GraphOptions extends MakerOptions {
  /** What runs: once a reload has changed limits of channels, that one. */
  readonly configuration: AgentConfiguration;
  /** Told of errors whose answer is `fatal`, with the component that met them. */
  readonly onFatal: (component: string, error: MillraceError) => void;
}

/** What the making of a graph gathers on its way. */
export interface GraphBuild {
  readonly options: GraphOptions;
  readonly counterGroups: CounterGroup[];
  readonly failures: Failure[];
  /** What `make` gives, or undefined and a failure more. */
  attempt<T>(
    kind: string,
    config: Pick<ComponentConfig, "name" | "type" | "place">,
    make: (title: string) => Promise<T>,
  ): Promise<T | undefined>;
  /** Adds a counter group, and stamps it when the lifecycle starts and stops. */
  counted(lifecycle: Lifecycle, group: Omit<CounterGroup, "startTimeMs" | "stopTimeMs">): Lifecycle;
}

export function createGraphBuild(options: GraphOptions): GraphBuild {
  const { clock } = options.runtime;
  const counterGroups: CounterGroup[] = [];
  const failures: Failure[] = [];
  return {
    options,
    counterGroups,
    failures,
    async attempt(kind, { name, type, place }, make) {
      const title = titleOf(kind, name, type, place);
      try {
        return await make(title);
      } catch (error) {
        failures.push(failureOf({ title, name }, error));
        return undefined;
      }
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
}
