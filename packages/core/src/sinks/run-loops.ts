import { roundsPerTurn, yieldToEventLoop } from "../runtime/yield.ts";

export interface Loops {
  /** How many are to run; read after every round of each. Less than one counts as one. */
  readonly wanted: () => number;
  /** Called once for each loop that begins; what it returns does one round. */
  readonly begin: () => () => Promise<void>;
  /** No round begins after it aborts. */
  readonly until: AbortSignal;
  /** A round threw; its loop has ended. */
  readonly onError: (thrown: unknown) => void;
}

/**
 * Runs rounds in as many loops as are wanted: one more begins, or one too many ends before its next
 * round, never the last one. Resolves when none runs any more; never rejects.
 */
export function runLoops({ wanted, begin, until, onError }: Loops): Promise<void> {
  let running = 0;
  let tellEnded: () => void = () => {};
  const ended = new Promise<void>((resolve) => (tellEnded = resolve));
  const most = (): number => Math.max(1, wanted());

  const loop = async (): Promise<void> => {
    try {
      const round = begin();
      for (let count = 1; !until.aborted && running <= most(); count++) {
        await round();
        fill();
        if (count % roundsPerTurn === 0) await yieldToEventLoop();
      }
    } catch (thrown) {
      onError(thrown);
    } finally {
      // In the same turn as the look at `running`: two loops never take each other for the last.
      running--;
      if (running === 0) tellEnded();
    }
  };
  const fill = (): void => {
    while (!until.aborted && running < most()) {
      running++;
      void loop();
    }
  };
  fill();
  if (running === 0) tellEnded();
  return ended;
}
