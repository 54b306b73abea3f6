import { type Log, type Runtime, toMillraceError } from "@millrace/core";
import { drainChannel, type DrainReport } from "@millrace/file-channel";
import { formatBytes, formatCount } from "../file-channel/figures.ts";
import type { OpenReceiver } from "../file-channel/receivers.ts";
import { ownAddresses } from "./own-addresses.ts";
import type { HandOverPlan, KeptChannel } from "./plan.ts";
import type { HandOverSettings } from "./settings.ts";
import { openSiblings, type Siblings } from "./siblings.ts";

const firstWaitMs = 200;
const longestWaitMs = 2000;

export interface HandOverSurroundings {
  readonly runtime: Runtime;
  readonly log: Log;
  readonly systemProperties: ReadonlyMap<string, string>;
  /** All addresses of this machine, and what its pod was told is its own. */
  readonly addresses: readonly string[];
}

/**
 * Gives what the channels of a stopped agent still hold to its siblings, and says of each directory
 * what remains. Takes `withinMs` at most. Never rejects: what could not be given stays where it is.
 */
export async function handOver(
  { channels, clientProperties, listened }: HandOverPlan,
  { hosts, withinMs, properties }: HandOverSettings,
  around: HandOverSurroundings,
): Promise<void> {
  const { runtime, log, systemProperties, addresses } = around;
  const enough = new AbortController();
  const timer = runtime.clock.setTimer(withinMs, () => enough.abort());
  let siblings: Siblings | undefined;
  try {
    siblings = openSiblings({
      ...{ hosts, runtime, log, systemProperties },
      isSelf: ownAddresses(listened, addresses),
      properties: new Map([...clientProperties, ...properties]),
    });
    for (const channel of channels) await leave(channel, siblings, enough.signal, around);
  } catch (error) {
    log.error("the hand-over failed; what is not handed over stays", { error });
  } finally {
    timer.cancel();
    await siblings?.close().catch(() => {});
  }
}

async function leave(
  channel: KeptChannel,
  siblings: Siblings,
  enough: AbortSignal,
  around: HandOverSurroundings,
): Promise<void> {
  const { log } = around;
  const where = channel.directories.join(", ");
  try {
    const held = await drain(channel, siblings, 0, enough, around);
    const report =
      held.left > 0 && (await mayGo(channel, siblings, enough, around))
        ? await drain(channel, siblings, Number.MAX_SAFE_INTEGER, enough, around)
        : held;
    if (report.delivered > 0) {
      const what = `${formatCount(report.delivered, "event")} (${formatBytes(report.deliveredBytes)})`;
      log.info(`${what} of channel ${channel.name} were handed over to ${siblings.name}`);
    }
    if (report.left === 0) return log.info(`nothing remains in ${where}`);
    const rest = `${formatCount(report.left, "event")} (${formatBytes(report.leftBytes)})`;
    log.warn(`${rest} remain in ${where}; they are delivered when this volume is used again`);
  } catch (thrown) {
    const error = toMillraceError(thrown);
    log.error(
      `what remains in ${where} is not known: ${error.code} ${error.message}; it is delivered when this volume is used again`,
    );
  }
}

/** Says why not when its events are not for siblings, or there are none. */
async function mayGo(
  { name, stays }: KeptChannel,
  siblings: Siblings,
  enough: AbortSignal,
  { log }: HandOverSurroundings,
): Promise<boolean> {
  if (stays !== undefined) {
    log.info(`channel ${name} is not handed over: ${stays}`);
    return false;
  }
  if (enough.aborted) return false;
  const count = await siblings.start(enough);
  if (count !== undefined && count > 0) return true;
  const why =
    count === undefined
      ? `who is at ${siblings.hosts} was not said in time`
      : `there is no sibling at ${siblings.hosts} but this agent`;
  log.warn(`channel ${name} is not handed over: ${why}`);
  return false;
}

/** With `max` 0 it only looks. */
async function drain(
  { directories, keys }: KeptChannel,
  receiver: OpenReceiver,
  max: number,
  interrupted: AbortSignal,
  { runtime, log }: HandOverSurroundings,
): Promise<DrainReport> {
  let waits = 0;
  return drainChannel(
    directories,
    receiver,
    { max, firstWaitMs, longestWaitMs },
    {
      ...{ runtime, keys, log, interrupted },
      observer: {
        opened: () => {},
        delivered: () => (waits = 0),
        waiting(error) {
          if (waits++ > 0) return;
          log.warn(
            `${receiver.name} does not take them: ${error.code} ${error.message}; trying on`,
          );
        },
      },
    },
  );
}
