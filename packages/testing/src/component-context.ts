import {
  type ChannelContext,
  type ComponentContext,
  createChannelCounters,
  createSinkCounters,
  createSourceCounters,
  type Definition,
  type EventBatch,
  type OptionSpecs,
  type OptionsOf,
  parseOptions,
  type PartRef,
  type SinkContext,
  type SourceContext,
  systemRuntime,
} from "@millrace/core";
import { tmpdir } from "node:os";
import { type CollectingLog, createCollectingLog } from "./runtime/collecting-log.ts";
import { type CollectingMetrics, createCollectingMetrics } from "./runtime/collecting-metrics.ts";

export type TestComponentContext<C extends ComponentContext> = C & {
  readonly log: CollectingLog;
  readonly metrics: CollectingMetrics;
};

function common(
  name: string,
): ComponentContext & { log: CollectingLog; metrics: CollectingMetrics } {
  return {
    agent: "a1",
    name,
    runtime: systemRuntime,
    log: createCollectingLog(),
    metrics: createCollectingMetrics(),
    home: tmpdir(),
    systemProperties: new Map(),
    makePart(ref) {
      throw new Error(`this test gave no way to make a ${ref.kind} ${ref.type}`);
    },
  };
}

/** A context for an interceptor, a serializer or another part. */
export function partContext(
  overrides: Partial<ComponentContext> = {},
): TestComponentContext<ComponentContext> {
  return { ...common("p1"), ...overrides } as TestComponentContext<ComponentContext>;
}

export function channelContext(
  overrides: Partial<ChannelContext> = {},
): TestComponentContext<ChannelContext> {
  return {
    ...common("c1"),
    counters: createChannelCounters(),
    ...overrides,
  } as TestComponentContext<ChannelContext>;
}

export function sinkContext(
  overrides: Partial<SinkContext> = {},
): TestComponentContext<SinkContext> {
  return {
    ...common("k1"),
    counters: createSinkCounters(),
    ...overrides,
  } as TestComponentContext<SinkContext>;
}

/** Processes every batch by `processEventBatch`, or keeps it in `batches` when none is given. */
export function sourceContext(
  overrides: Partial<SourceContext> = {},
): TestComponentContext<SourceContext> & { readonly batches: EventBatch[] } {
  const batches: EventBatch[] = [];
  return {
    ...common("r1"),
    counters: createSourceCounters(),
    channelProcessor: {
      processEventBatch(batch: EventBatch) {
        batches.push(batch);
        return Promise.resolve();
      },
    },
    batches,
    ...overrides,
  } as TestComponentContext<SourceContext> & { readonly batches: EventBatch[] };
}

/** A `makePart` over the given definitions, as the agent's over its registry. */
export function partMaker(...definitions: readonly Definition[]): ComponentContext["makePart"] {
  return async <T>(ref: PartRef): Promise<T> => {
    const found = definitions.find(
      ({ kind, type, aliases }) =>
        kind === ref.kind &&
        [type, ...aliases].some((name) => name.toLowerCase() === ref.type.toLowerCase()),
    );
    if (found === undefined) throw new Error(`this test gave no ${ref.kind} ${ref.type}`);
    const options = optionsOf(found.options, ref.properties);
    return (await found.create(options, partContext() as never)) as T;
  };
}

/** The options from properties as an operator would write them; throws when there are problems. */
export function optionsOf<S extends OptionSpecs>(
  specs: S,
  properties: ReadonlyMap<string, string> | Record<string, string>,
): OptionsOf<S> {
  const map = properties instanceof Map ? properties : new Map(Object.entries(properties));
  const { options, problems, unknownKeys } = parseOptions(
    specs,
    map as ReadonlyMap<string, string>,
  );
  if (problems.length > 0 || unknownKeys.length > 0) {
    throw new Error(`bad properties: ${JSON.stringify({ problems, unknownKeys })}`);
  }
  return options;
}
