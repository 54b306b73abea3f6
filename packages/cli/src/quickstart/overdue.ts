import type { ArrivalJudge, Clock, Marks } from "@millrace/core";

/**
 * How many lines are missing while the run goes on: acknowledged this long ago, not arrived, and
 * nothing in between that would explain it. A collector that is down or a stalled link explains it,
 * so the wait begins again when all is well.
 */
export interface OverdueWatch {
  /** Called often. `calm`: all agents are up and no link is stalled. */
  missing(judge: ArrivalJudge, calm: boolean): number;
}

const patienceMs = 15_000;
const markEveryMs = 1_000;

export function createOverdueWatch(clock: Clock): OverdueWatch {
  let taken: { atMs: number; marks: Marks }[] = [];
  return {
    missing(judge, calm) {
      const now = clock.monotonic();
      if (!calm) taken = [];
      const newest = taken.at(-1);
      if (newest === undefined || now - newest.atMs >= markEveryMs) {
        taken.push({ atMs: now, marks: judge.marks("acknowledged") });
      }
      while (taken.length > 1 && now - (taken[1]?.atMs ?? now) >= patienceMs) taken.shift();
      const oldest = taken[0];
      if (oldest === undefined || now - oldest.atMs < patienceMs) return 0;
      return judge.outstanding(oldest.marks).missing;
    },
  };
}
