import {
  type Channel,
  type ChannelProcessor,
  type Counter,
  createChannelProcessor,
  createSourceCounters,
  createSourceRunner,
  type Interceptor,
  MillraceError,
  toMillraceError,
} from "@millrace/core";
import type { AgentConfiguration, SourceConfig } from "../config/agent-configuration.ts";
import { componentContext, componentMetrics, optionByKey } from "./component-maker.ts";
import { makePart, type PartBuild, type PartOptions, type SourcePart } from "./part.ts";
import { titleOf } from "./runnable.ts";

const keepAliveMsDefault = 3000;

/** Makes a source with its way into those of its channels that are there. Throws PartFailed. */
export function makeSource(
  partOptions: PartOptions,
  config: SourceConfig,
  channels: ReadonlyMap<string, Channel>,
): Promise<SourcePart> {
  const { name, type, place } = config;
  const title = titleOf("source", name, type, place);
  return makePart(partOptions, { title, name }, async (build) => {
    const { options } = build;
    const counters = build.counters("SOURCE", config, createSourceCounters);
    const channelProcessor = await makeProcessor(build, config, channels);
    const context = { ...componentContext(options, config), counters, channelProcessor };
    const runner = createSourceRunner({
      source: await config.definition.create(config.options, context),
      clock: options.runtime.clock,
      log: context.log,
      onFatal: (error) => options.onFatal(name, toMillraceError(error)),
    });
    const read = () => ({ ...counters });
    const lifecycle = build.counted(runner, { kind: "SOURCE", name, type, read });
    return { config, lifecycle };
  });
}

async function makeProcessor(
  { options }: PartBuild,
  config: SourceConfig,
  channels: ReadonlyMap<string, Channel>,
): Promise<ChannelProcessor> {
  const { name, type, selector } = config;
  const interceptors: Interceptor[] = [];
  for (const interceptor of config.interceptors) {
    const label = `${name}.${interceptor.name}`;
    const context = { ...componentContext(options, interceptor, label), source: name };
    interceptors.push(await interceptor.definition.create(interceptor.options, context));
  }
  const selectorContext = { ...componentContext(options, selector, `${name}.selector`), channels };
  const metrics = componentMetrics(options, name, type);
  const processor = createChannelProcessor({
    interceptors,
    selector: await selector.definition.create(selector.options, selectorContext),
    metrics,
    clock: options.runtime.clock,
    log: options.log(name),
    get keepAliveMs() {
      return keepAliveMs(config, options.running());
    },
  });
  const accepted = metrics.counter(
    "millrace_source_accepted_events_total",
    "Events that every required channel has committed.",
  );
  return watch(processor, accepted, (error) => options.onFatal(name, error));
}

/** Counts what is accepted, and tells the agent of a channel that can promise nothing any more. */
function watch(
  processor: ChannelProcessor,
  accepted: Counter,
  onFatal: (error: MillraceError) => void,
): ChannelProcessor {
  return {
    async processEventBatch(batch) {
      try {
        await processor.processEventBatch(batch);
      } catch (error) {
        if (error instanceof MillraceError && error.answer === "fatal") onFatal(error);
        throw error;
      }
      accepted.value += batch.length;
    },
  };
}

/** The longest of the keep-alives of the source's channels: one wait for room in all of them. */
function keepAliveMs(source: SourceConfig, { channels }: AgentConfiguration): number {
  const waits = source.channels.flatMap((name) => {
    const channel = channels.get(name);
    const seconds = channel === undefined ? undefined : optionByKey(channel, "keep-alive");
    return typeof seconds === "number" ? [seconds * 1000] : [];
  });
  return waits.length === 0 ? keepAliveMsDefault : Math.max(...waits);
}
