import type { Clock, Timer } from "@millrace/core";
import type { Screen } from "../avro-client/progress.ts";

/** A line on a terminal that says how far long work is. */
export interface StepProgress {
  at(done: number, total: number): void;
  /** Takes the line away. */
  finish(): void;
}

const redrawMs = 250;

export function createStepProgress(clock: Clock, screen: Screen, what: string): StepProgress {
  const startedMs = clock.monotonic();
  let latest: { readonly done: number; readonly total: number } | undefined;
  let timer: Timer | undefined;
  let isOver = false;
  const draw = (): void => {
    if (latest !== undefined) {
      const { done, total } = latest;
      const percent = total === 0 ? 100 : Math.floor((100 * done) / total);
      const rate = Math.round(done / Math.max((clock.monotonic() - startedMs) / 1000, 0.001));
      screen.write(`\r\u001b[K${what} ${done} of ${total} (${percent} %), ${rate} a second`);
    }
    timer = isOver ? undefined : clock.setTimer(redrawMs, draw);
  };
  if (screen.isTerminal) timer = clock.setTimer(redrawMs, draw);
  return {
    at(done, total) {
      latest = { done, total };
    },
    finish() {
      isOver = true;
      timer?.cancel();
      if (screen.isTerminal) screen.write("\r\u001b[K");
    },
  };
}
