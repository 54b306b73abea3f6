import {
  type Channel,
  countDeliveries,
  createSinkCounters,
  createSinkRunner,
  type Lifecycle,
  MillraceError,
  noMetrics,
  type Sink,
  type SinkCounters,
  type SinkHealth,
  type SinkRunner,
  toMillraceError,
} from "@millrace/core";
import type { SinkConfig, SinkGroupConfig } from "../config/agent-configuration.ts";
import { componentContext, componentMetrics } from "./component-maker.ts";
import { makePart, type PartBuild, PartFailed, type PartOptions, type SinkPart } from "./part.ts";
import { type Failure, failureOf, titleOf } from "./runnable.ts";
import type { SinkUnit } from "./sink-units.ts";

/** A sink that is made, and has no runner yet. */
interface Member {
  readonly title: string;
  readonly config: SinkConfig;
  readonly sink: Sink;
  readonly counters: SinkCounters;
  readonly health: SinkHealth;
}

/**
 * Makes a sink or a group over its channel. Throws PartFailed; members of a group that could not be
 * made are told to `leaveOut` instead, where it is given, and the group does without them.
 */
export function makeSinkUnit(
  options: PartOptions,
  unit: SinkUnit,
  channel: Channel,
  leaveOut?: (failure: Failure) => void,
): Promise<SinkPart> {
  const { name } = unit;
  const title = titleOfUnit(unit);
  return makePart(options, { title, name }, async (build) => {
    const { group, sinks } = unit;
    const members = await makeMembers(build, sinks, group && leaveOut);
    const made =
      group === undefined
        ? runAlone(build, members, channel)
        : await runGroup(build, group, members, channel);
    const health = new Map(members.map((member) => [member.config.name, member.health]));
    return { ...made, unit, health };
  });
}

type Made = Pick<SinkPart, "lifecycle" | "drain">;

function titleOfUnit({ name, group, sinks: [sink] }: SinkUnit): string {
  if (group !== undefined) {
    const { type, place } = group.processor;
    return titleOf("sink group", name, type, place);
  }
  if (sink === undefined) throw new Error(`a unit without a sink: ${name}`);
  return titleOf("sink", name, sink.type, sink.place);
}

async function makeMembers(
  build: PartBuild,
  sinks: readonly SinkConfig[],
  leaveOut: ((failure: Failure) => void) | undefined,
): Promise<Member[]> {
  const members: Member[] = [];
  for (const config of sinks) {
    const { name, type, place } = config;
    const title = titleOf("sink", name, type, place);
    try {
      const counters = build.counters("SINK", config, createSinkCounters);
      const context = { ...componentContext(build.options, config), counters };
      const sink = await config.definition.create(config.options, context);
      members.push({ title, config, counters, sink, health: { failing: undefined } });
    } catch (error) {
      const failure = failureOf({ title, name }, error);
      if (leaveOut === undefined) throw new PartFailed(failure);
      leaveOut(failure);
    }
  }
  return members;
}

function counterGroupOf({ config: { name, type }, counters }: Member) {
  return { kind: "SINK", name, type, read: () => ({ ...counters }) } as const;
}

function runAlone(build: PartBuild, [member]: readonly Member[], channel: Channel): Made {
  if (member === undefined) throw new Error("a sink's runner without a sink");
  const { options } = build;
  const { name, type } = member.config;
  const { sink, counters, health } = member;
  const metrics = componentMetrics(options, name, type);
  const runner = makeRunner(build, { name, sink, channel, counters, metrics, health });
  return {
    lifecycle: build.counted(runner, counterGroupOf(member)),
    drain: (deadline) => runner.drain(deadline),
  };
}

/** One runner over the group's processor. Members count their own deliveries, the group none. */
async function runGroup(
  build: PartBuild,
  { name, processor }: SinkGroupConfig,
  members: readonly Member[],
  channel: Channel,
): Promise<Made> {
  const { options } = build;
  const { clock } = options.runtime;
  const counted = members.map(({ config, sink, counters, health }): [string, Sink] => {
    const metrics = componentMetrics(options, config.name, config.type);
    return [config.name, countDeliveries(sink, { counters, metrics, clock, health })];
  });
  const context = { ...componentContext(options, processor), sinks: new Map(counted) };
  const sink = await processor.definition.create(processor.options, context);
  const counters = createSinkCounters();
  const runner = makeRunner(build, { name, sink, channel, counters, metrics: noMetrics });
  const lifecycles = members.map((member) => ({
    of: member.title,
    own: build.counted(member.sink, counterGroupOf(member)),
  }));
  return {
    drain: (deadline) => runner.drain(deadline),
    lifecycle: {
      async start(aborted) {
        await startMembers(lifecycles, aborted);
        await runner.start(aborted);
      },
      async stop(deadline) {
        await runner.stop(deadline);
        await Promise.all(lifecycles.map(({ own }) => own.stop(deadline)));
      },
    },
  };
}

async function startMembers(
  members: readonly { readonly of: string; readonly own: Lifecycle }[],
  aborted: AbortSignal,
): Promise<void> {
  for (const { of, own } of members) {
    await own.start(aborted).catch((thrown: unknown) => {
      const { code, message } = toMillraceError(thrown);
      throw new MillraceError(code, `${of}: ${message}`, { cause: thrown });
    });
  }
}

function makeRunner(
  { options }: PartBuild,
  given: Pick<
    Parameters<typeof createSinkRunner>[0],
    "name" | "sink" | "channel" | "counters" | "metrics" | "health"
  >,
): SinkRunner {
  const { clock, random } = options.runtime;
  const { name } = given;
  return createSinkRunner({
    ...given,
    ...{ clock, random, log: options.log(name) },
    drainsDurable: options.drainsDurable,
    onFatal: (error) => options.onFatal(name, error),
  });
}
