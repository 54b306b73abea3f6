import { type Counter, type Log, toMillraceError } from "@millrace/core";
import type { AgentConfiguration } from "../config/agent-configuration.ts";
import type { Graph } from "../graph/create-graph.ts";
import { PartFailed, type PartOptions } from "../graph/part.ts";
import { reportFailure } from "../graph/report-failure.ts";
import { compareConfigurations } from "./compare-configurations.ts";
import { countGivenUp, heldAtEnd, refusalOf } from "./held-events.ts";
import {
  changesNothing,
  fateOf,
  type Parts,
  planReload,
  type ReloadPlan,
  type ResizedChannel,
} from "./plan-reload.ts";
import {
  allOf,
  channelsBeside,
  configsOf,
  exchangeParts,
  makeParts,
  noParts,
  releaseParts,
} from "./replace-parts.ts";
import {
  emptyChannels,
  endParts,
  keepOpening,
  openParts,
  type PartRunner,
  partsReplaced,
} from "./run-parts.ts";

/**
 * `refused`: nothing was taken over, and what was stopped for it runs again. `reverted`: the new did
 * not open, and the old runs again.
 */
export type ReloadOutcome = "unchanged" | "applied" | "refused" | "reverted" | "not-running";

export interface ReloadTools extends PartRunner {
  /** What runs; its parts are replaced. */
  readonly graph: Graph;
  readonly options: PartOptions;
  readonly log: Log;
  /** Events that a reload gave up because it was told to. */
  readonly discarded: Counter;
  /** How long what has started is given to stop when the new does not open. */
  readonly undoMs: number;
  /** Called between the old's end and the new's start, and with the old when that is taken back. */
  readonly takeOver: (configuration: AgentConfiguration) => void;
}

/**
 * Brings what runs to another configuration. What has not changed is not touched.
 *
 *     make new ─> stop sources ─> empty channels that end ─> stop sinks ─> close channels
 *        │ fails                        │ not by the deadline                 │
 *        v                              v                                     v
 *     refused                 refused: start again            open channels, sinks, sources ─> applied
 *                                                                   │ fails
 *                                                                   v
 *                                                 reverted: stop these, make and open the old again
 */
export async function applyReload(
  tools: ReloadTools,
  wanted: AgentConfiguration,
  deadline: AbortSignal,
): Promise<ReloadOutcome> {
  const { graph, log } = tools;
  const plan = planReload(graph, wanted);
  const { leaving, out } = plan;
  if (changesNothing(plan)) {
    log.info("the configuration was read again: nothing in it has changed");
    tools.takeOver(wanted);
    return "unchanged";
  }
  // What is in memory is delivered first; what is on disk may be millions.
  const durable = leaving.filter(({ part }) => part.channel.durable);
  const early = refusalOf(durable, wanted.discardOnReload);
  if (early !== undefined) return refuse(log, early);
  const made = await makeNew(tools, plan);
  if (made === undefined) return refuse(log, "the line before says what cannot be made of it");
  try {
    return await replace(tools, wanted, plan, made, deadline);
  } catch (error) {
    // A mistake of ours, and what runs is half of each: better to stop in order than to stand still.
    tools.options.onFatal("reload", toMillraceError(error));
    return "refused";
  } finally {
    partsReplaced(tools, out);
    partsReplaced(tools, made);
  }
}

async function replace(
  tools: ReloadTools,
  wanted: AgentConfiguration,
  plan: ReloadPlan,
  made: Parts,
  deadline: AbortSignal,
): Promise<ReloadOutcome> {
  const { graph, log, discarded } = tools;
  const { leaving, out, resized } = plan;
  await stopFlow(tools, plan, wanted.discardOnReload, deadline);
  const late = refusalOf(leaving, wanted.discardOnReload);
  if (late !== undefined) {
    await reopen(tools, { ...out, channels: [] });
    releaseParts(made);
    return refuse(log, late);
  }
  const held = heldAtEnd(leaving);
  await endParts(tools, out.channels, deadline);
  const running = tools.options.running();
  tools.takeOver(wanted);
  exchangeParts(graph, out, made);
  for (const { part, config } of resized) resize(part, config);
  const failed = await openParts(tools, made);
  if (failed !== undefined && !(await goesOn(tools, made, failed, running))) {
    for (const { part, before } of resized) resize(part, before);
    await goBack(tools, plan, made, running);
    const lost = held.filter(({ durable }) => !durable);
    countGivenUp(lost, discarded, log);
    return "reverted";
  }
  releaseParts(out);
  countGivenUp(held, discarded, log);
  tell(running, wanted, plan, log);
  return "applied";
}

function refuse(log: Log, why: string): ReloadOutcome {
  log.error(`the new configuration is not taken over: ${why}`);
  return "refused";
}

/** Makes all that is new, or nothing: then it is said why. */
async function makeNew(
  { options, graph, log }: ReloadTools,
  { into, out }: ReloadPlan,
): Promise<Parts | undefined> {
  try {
    return await makeParts(options, into, channelsBeside(graph, out));
  } catch (error) {
    if (!(error instanceof PartFailed)) throw error;
    reportFailure(error.failure, "could not be made", log);
    return undefined;
  }
}

/** Stops sources, lets sinks empty the channels that end, and stops sinks. */
async function stopFlow(
  tools: ReloadTools,
  { out, leaving }: ReloadPlan,
  discard: ReadonlySet<string>,
  deadline: AbortSignal,
): Promise<void> {
  await endParts(tools, out.sources, deadline);
  const ending = leaving.map(({ part }) => part).filter(({ name }) => !discard.has(name));
  await emptyChannels(tools, ending, out.sinks, deadline);
  await endParts(tools, out.sinks, deadline);
}

/**
 * Ends what was opened of the new. Where sources of it have put events into a channel that the old
 * configuration does not have, there is no way back: true, and what did not start is tried on.
 */
async function goesOn(
  tools: ReloadTools,
  made: Parts,
  failed: keyof Parts,
  running: AgentConfiguration,
): Promise<boolean> {
  const { clock, log, undoMs } = tools;
  const undo = new AbortController();
  const timer = clock.setTimer(undoMs, () => undo.abort());
  try {
    await endParts(tools, made.sources, undo.signal);
    const ending = made.channels.filter((part) => {
      return fateOf(part, running.channels.get(part.name)) !== undefined;
    });
    if (failed === "sources") await emptyChannels(tools, ending, made.sinks, undo.signal);
    await endParts(tools, made.sinks, undo.signal);
    const holding = ending.filter(({ channel }) => channel.size > 0);
    if (failed === "sources" && holding.length > 0) {
      const names = holding.map(({ name }) => name).join(", ");
      log.error(
        `the old configuration cannot come back: it has no place for what channel ${names} holds already; what did not start is tried again`,
      );
      await reopen(tools, { ...made, channels: [] });
      return true;
    }
    await endParts(tools, made.channels, undo.signal);
    return false;
  } finally {
    timer.cancel();
  }
}

/** Opens the old in the place of the new, which is stopped. */
async function goBack(
  tools: ReloadTools,
  { out }: ReloadPlan,
  made: Parts,
  running: AgentConfiguration,
): Promise<void> {
  tools.log.error("the new configuration did not open: the agent goes on with the old one");
  tools.takeOver(running);
  exchangeParts(tools.graph, made, noParts);
  await reopen(tools, out);
  releaseParts(made);
}

/** Makes parts that were stopped once more, and starts them as often as it takes. */
async function reopen(tools: ReloadTools, stopped: Parts): Promise<void> {
  const { graph, options } = tools;
  try {
    const again = await makeParts(options, configsOf(stopped), channelsBeside(graph, stopped));
    exchangeParts(graph, stopped, again);
    releaseParts(stopped);
    await keepOpening(tools, again);
  } catch (error) {
    if (!(error instanceof PartFailed)) throw error;
    const failure = reportFailure(error.failure, "could not be made again", tools.log);
    options.onFatal("reload", failure);
  }
}

function resize(part: ResizedChannel["part"], config: ResizedChannel["config"]): void {
  part.channel.reconfigure?.(config.options);
  part.config = config;
}

function tell(
  running: AgentConfiguration,
  wanted: AgentConfiguration,
  { resized, out, into }: ReloadPlan,
  log: Log,
): void {
  for (const { changes } of resized) {
    for (const { key, from, to } of changes) log.info(`${key} is ${to} now; it was ${from}`);
  }
  const limits = new Set(resized.flatMap(({ changes }) => changes.map(({ key }) => key)));
  const keys = compareConfigurations(running, wanted).filter((key) => !limits.has(key));
  if (allOf(out).length + Object.values(into).flat().length === 0) return;
  log.info(`the new configuration is taken over: ${keys.join(", ")}`, {
    stopped: allOf(out).map(({ name }) => name),
    started: [...into.channels, ...into.sinks, ...into.sources].map(({ name }) => name),
  });
}
