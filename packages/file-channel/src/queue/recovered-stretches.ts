import type { LogState } from "../log/log-state.ts";
import type { Stretch } from "./event-queue.ts";

/**
 * The backlog a start found: of each segment that holds something, what is to be read when it is
 * its turn. How many bytes the unsettled events take is known only then; until then the segment's
 * share counts.
 */
export function recoveredStretches(state: LogState, firstOffset: number): Stretch[] {
  const stretches: Stretch[] = [];
  for (const segment of state.segments) {
    if (segment.unacknowledged === 0) continue;
    const { firstSequence } = segment.header;
    const events = segment.nextSequence - firstSequence;
    const share = segment.unacknowledged / events;
    stretches.push({
      segment,
      offset: firstOffset,
      end: segment.end,
      nextSequence: firstSequence,
      endSequence: segment.nextSequence,
      events: segment.unacknowledged,
      roomBytes: Math.ceil((segment.end - firstOffset) * share),
    });
  }
  return stretches;
}
