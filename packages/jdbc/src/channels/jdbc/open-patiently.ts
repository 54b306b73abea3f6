import {
  type Clock,
  jitter,
  type Log,
  MillraceError,
  type Random,
  sleep,
  toMillraceError,
} from "@millrace/core";
import type { EventStore, StoreState } from "./event-store.ts";

export interface Patience {
  readonly clock: Clock;
  readonly random: Random;
  readonly openWaitMs: number;
  readonly log: Log;
  readonly aborted: AbortSignal;
}

const againMs = 500;

/** Whether an opening may succeed later by itself: the holder ends, the server comes up. */
export function isPassing({ code }: MillraceError): boolean {
  return code === "CHANNEL_LOCKED" || code === "DATABASE_UNAVAILABLE";
}

/**
 * Opens the store. A predecessor may still be draining, and a database may start beside the agent:
 * both are waited for, for a while.
 */
export async function openPatiently(
  store: EventStore,
  lost: (error: MillraceError) => void,
  patience: Patience,
): Promise<StoreState> {
  const { clock, random, openWaitMs, log, aborted } = patience;
  const began = clock.monotonic();
  const abandon = (): void => store.abandon();
  aborted.addEventListener("abort", abandon);
  try {
    for (let isFirst = true; ; isFirst = false) {
      if (aborted.aborted) {
        throw new MillraceError("START_ABORTED", `${store.place} was not opened: told to stop`);
      }
      try {
        return await store.open(lost);
      } catch (thrown) {
        const error = toMillraceError(thrown, "DATABASE_FAILED");
        const isOver = clock.monotonic() - began >= openWaitMs;
        if (!aborted.aborted && (isOver || !isPassing(error))) throw error;
        if (isFirst) log.warn(`waiting for ${store.place}: ${error.message}`);
      }
      await sleep(clock, jitter(random, againMs), aborted);
    }
  } finally {
    aborted.removeEventListener("abort", abandon);
  }
}
