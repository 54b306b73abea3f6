import {
  type Channel,
  countDeliveries,
  createSinkCounters,
  createSinkRunner,
  MillraceError,
  noMetrics,
  type Sink,
  type SinkCounters,
  toMillraceError,
} from "@millrace/core";
import type { SinkConfig, SinkGroupConfig } from "../config/agent-configuration.ts";
import { componentContext, componentMetrics } from "./component-maker.ts";
import type { GraphBuild } from "./graph-build.ts";
import type { RunnableSink } from "./runnable.ts";

/** A sink that is made, and has no runner yet. */
interface Member {
  readonly title: string;
  readonly config: SinkConfig;
  readonly sink: Sink;
  readonly counters: SinkCounters;
}

/** Makes the sinks over the channels that are there: groups first, then each that is in none. */
export async function makeSinks(
  build: GraphBuild,
  channels: ReadonlyMap<string, Channel>,
): Promise<readonly RunnableSink[]> {
  const { sinks, groups } = build.options.configuration;
  const members = new Map<string, Member>();
  for (const config of sinks.values()) {
    if (!channels.has(config.channel)) continue;
    const member = await build.attempt("sink", config, (title) => makeMember(build, config, title));
    if (member !== undefined) members.set(config.name, member);
  }
  const runnables: RunnableSink[] = [];
  for (const group of groups.values()) {
    const channel = channels.get(group.channel);
    const own = group.sinks.flatMap((name) => members.get(name) ?? []);
    if (channel === undefined || own.length === 0) continue;
    const { type, place } = group.processor;
    const made = await build.attempt("sink group", { name: group.name, type, place }, (title) =>
      runGroup(build, group, own, channel, title),
    );
    // Sinks whose group cannot be made deliver on their own, as those of a dropped group do.
    if (made === undefined) continue;
    runnables.push(made);
    for (const name of group.sinks) members.delete(name);
  }
  for (const member of members.values()) {
    const channel = channels.get(member.config.channel);
    if (channel !== undefined) runnables.push(runAlone(build, member, channel));
  }
  return runnables;
}

async function makeMember(build: GraphBuild, config: SinkConfig, title: string): Promise<Member> {
  const counters = createSinkCounters();
  const context = { ...componentContext(build.options, config), counters };
  return { title, config, counters, sink: await config.definition.create(config.options, context) };
}

function counterGroupOf({ config: { name, type }, counters }: Member) {
  return { kind: "SINK", name, type, read: () => ({ ...counters }) } as const;
}

function runAlone(build: GraphBuild, member: Member, channel: Channel): RunnableSink {
  const { options } = build;
  const { name, type } = member.config;
  const runner = createSinkRunner({
    name,
    sink: member.sink,
    channel,
    clock: options.runtime.clock,
    random: options.runtime.random,
    log: options.log(name),
    counters: member.counters,
    metrics: componentMetrics(options, name, type),
    onFatal: (error) => options.onFatal(name, error),
  });
  return {
    title: member.title,
    name,
    lifecycle: build.counted(runner, counterGroupOf(member)),
    drain: (deadline) => runner.drain(deadline),
  };
}

/** One runner over the group's processor. Members count their own deliveries, the group none. */
async function runGroup(
  build: GraphBuild,
  { name, processor }: SinkGroupConfig,
  members: readonly Member[],
  channel: Channel,
  title: string,
): Promise<RunnableSink> {
  const { options } = build;
  const { clock, random } = options.runtime;
  const counted = members.map(({ config, sink, counters }): [string, Sink] => {
    const metrics = componentMetrics(options, config.name, config.type);
    return [config.name, countDeliveries(sink, { counters, metrics, clock })];
  });
  const context = { ...componentContext(options, processor), sinks: new Map(counted) };
  const runner = createSinkRunner({
    name,
    sink: await processor.definition.create(processor.options, context),
    channel,
    clock,
    random,
    log: options.log(name),
    counters: createSinkCounters(),
    metrics: noMetrics,
    onFatal: (error) => options.onFatal(name, error),
  });
  const lifecycles = members.map((member) => ({
    of: member.title,
    own: build.counted(member.sink, counterGroupOf(member)),
  }));
  return {
    title,
    name,
    drain: (deadline) => runner.drain(deadline),
    lifecycle: {
      async start(aborted) {
        for (const { of, own } of lifecycles) {
          await own.start(aborted).catch((thrown: unknown) => {
            const { code, message } = toMillraceError(thrown);
            throw new MillraceError(code, `${of}: ${message}`, { cause: thrown });
          });
        }
        await runner.start(aborted);
      },
      async stop(deadline) {
        await runner.stop(deadline);
        await Promise.all(lifecycles.map(({ own }) => own.stop(deadline)));
      },
    },
  };
}
