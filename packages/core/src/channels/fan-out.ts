/**
 * Stores one batch in several channels so that a full one leaves nothing half done:
 *
 *   room in a, room in b, ...   one after another in the order of names, one keep-alive for all
 *   commit the durable ones     all are awaited; if one fails, the rest is rolled back
 *   commit the others           their commit only makes visible what is held already
 *
 * Asking in one order for all sources is what keeps two of them from each holding what the other
 * waits for. It is not two-phase commit: an I/O error or a crash between two durable channels
 * leaves the batch in the first, and the sender's retry duplicates it there.
 */
import type { EventBatch } from "../events/event-batch.ts";
import { type MillraceError, toMillraceError } from "../errors/millrace-error.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Channel, PutTransaction } from "./channel.ts";

/** A channel's part of a batch. */
export interface Share {
  readonly channel: Channel;
  readonly batch: EventBatch;
}

interface Granted {
  readonly channel: Channel;
  readonly transaction: PutTransaction;
}

/** The parts that hold events, in the order of the channels' names. */
export function sharesInOrder(routes: ReadonlyMap<Channel, EventBatch>): Share[] {
  const shares: Share[] = [];
  for (const [channel, batch] of routes) {
    if (batch.length > 0) shares.push({ channel, batch });
  }
  return shares.length < 2 ? shares : shares.sort(byName);
}

function byName(a: Share, b: Share): number {
  return a.channel.name < b.channel.name ? -1 : 1;
}

/** Puts one part on its own. Throws what the channel throws; then nothing was promised. */
export async function putShare({ channel, batch }: Share): Promise<void> {
  const transaction = await channel.beginPut(batch);
  await transaction.commit();
}

/**
 * What stores shares in several channels: resolves when every one has committed, throws the first
 * failure, a fatal one before any other.
 */
export function createFanOut(
  clock: Clock,
  keepAliveMs: () => number,
): (shares: readonly Share[]) => Promise<void> {
  const idle: AbortController[] = [];

  /** Holds room in every channel; when one refuses, in none. */
  const grantRoom = async (shares: readonly Share[]): Promise<Granted[]> => {
    const granted: Granted[] = [];
    // Reused: making a controller for every batch costs more than the batch.
    const late = idle.pop() ?? new AbortController();
    const timer = clock.setTimer(keepAliveMs(), () => late.abort());
    try {
      for (const { channel, batch } of shares) {
        granted.push({ channel, transaction: await channel.beginPut(batch, late.signal) });
      }
      return granted;
    } catch (error) {
      await rollBackAll(granted);
      throw error;
    } finally {
      timer.cancel();
      if (!late.signal.aborted) idle.push(late);
    }
  };

  return async (shares) => {
    const granted = await grantRoom(shares);
    const others = granted.filter(({ channel }) => !channel.durable);
    const failure = await commitAll(granted.filter(({ channel }) => channel.durable));
    if (failure !== undefined) {
      await rollBackAll(others);
      throw failure;
    }
    const lateFailure = await commitAll(others);
    if (lateFailure !== undefined) throw lateFailure;
  };
}

async function commitAll(granted: readonly Granted[]): Promise<MillraceError | undefined> {
  const ends = await Promise.allSettled(granted.map(({ transaction }) => transaction.commit()));
  let failure: MillraceError | undefined;
  for (const end of ends) {
    if (end.status === "fulfilled") continue;
    const error = toMillraceError(end.reason);
    if (failure === undefined || (error.answer === "fatal" && failure.answer !== "fatal")) {
      failure = error;
    }
  }
  return failure;
}

async function rollBackAll(granted: readonly Granted[]): Promise<void> {
  await Promise.allSettled(granted.map(({ transaction }) => transaction.rollback()));
}
