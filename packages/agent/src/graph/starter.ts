import { type Clock, type Log, MillraceError, sleep } from "@millrace/core";
import { setMaxListeners } from "node:events";
import { reportFailure } from "./report-failure.ts";
import { failureOf, type Runnable } from "./runnable.ts";

/** Flume's supervisor looks every three seconds. */
const restartMs = 3000;

export interface Starter {
  /** Titles of what should run and does not, each with why. */
  readonly notStarted: Map<string, string>;
  /** Starts it once. Throws what it threw, reported, or START_ABORTED. */
  startOnce(runnable: Runnable): Promise<void>;
  /** Starts it as often as it takes. Rejects only when the attempts are given up. */
  startAgain(runnable: Runnable): Promise<void>;
  /**
   * Like `startAgain`, but waits for the first attempt alone; the others go on behind it. Says
   * whether the first was enough. Never rejects.
   */
  startFirst(runnable: Runnable): Promise<boolean>;
  /** Ends the attempts to start this one, and waits until none is under way. */
  giveUp(runnable: Runnable): Promise<void>;
  /** Ends the attempts that are under way; what is begun later is tried. */
  cutShort(): void;
  /** Ends all attempts, now and later. */
  abort(): void;
  readonly aborted: boolean;
  /** Resolves when no attempt is under way. */
  settled(): Promise<void>;
}

interface Attempts {
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

/** Starts components. While one is tried again and again, it keeps no other from running. */
export function createStarter(clock: Clock, log: Log): Starter {
  const notStarted = new Map<string, string>();
  const under = new Map<Runnable, Attempts>();
  let aborted = false;

  function begin(
    runnable: Runnable,
    again: boolean,
    onFailed: () => void = () => {},
  ): Promise<void> {
    if (aborted) return Promise.reject(abortedError());
    const stop = new AbortController();
    // Each part of a component listens, and there may be many.
    setMaxListeners(0, stop.signal);
    const work = attempt(runnable, stop.signal, again, onFailed);
    const done = work
      .catch(() => {})
      .finally(() => {
        if (under.get(runnable)?.stop === stop) under.delete(runnable);
      });
    under.set(runnable, { stop, done });
    return work;
  }

  async function attempt(
    runnable: Runnable,
    signal: AbortSignal,
    again: boolean,
    onFailed: () => void,
  ): Promise<void> {
    const { title, lifecycle } = runnable;
    notStarted.set(title, "is starting");
    for (;;) {
      try {
        await lifecycle.start(signal);
        notStarted.delete(title);
        log.debug(`${title} has started`);
        return;
      } catch (thrown) {
        if (signal.aborted) throw thrown;
        const failure = failureOf(runnable, thrown);
        const error = reportFailure(failure, "did not start", log);
        if (!again) throw error;
        notStarted.set(title, `did not start: ${failure.error.code} ${failure.error.message}`);
        onFailed();
      }
      await lifecycle.stop(signal).catch((error: unknown) => {
        log.error(`${title} did not stop well`, { error });
      });
      await sleep(clock, restartMs, signal);
      if (signal.aborted) throw abortedError();
    }
  }

  const cutShort = (): void => {
    for (const { stop } of under.values()) stop.abort();
  };

  return {
    notStarted,
    cutShort,
    startOnce: (runnable) => begin(runnable, false),
    startAgain: (runnable) => begin(runnable, true),
    startFirst: (runnable) =>
      new Promise((resolve) => {
        begin(runnable, true, () => resolve(false)).then(
          () => resolve(true),
          () => resolve(false),
        );
      }),
    async giveUp(runnable) {
      const attempts = under.get(runnable);
      attempts?.stop.abort();
      await attempts?.done;
      notStarted.delete(runnable.title);
    },
    abort() {
      aborted = true;
      cutShort();
    },
    get aborted() {
      return aborted;
    },
    async settled() {
      await Promise.all([...under.values()].map(({ done }) => done));
    },
  };
}

export function abortedError(): MillraceError {
  return new MillraceError("START_ABORTED", "the agent was told to stop while it started");
}
