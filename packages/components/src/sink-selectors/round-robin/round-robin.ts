import type { SelectableSink, SinkSelector } from "@millrace/core";

/** Turns in the order of the group. Who is not available has no turn: it goes to the next. */
export function createRoundRobin(): SinkSelector {
  let turn = 0;
  return (members) => {
    const rotated: SelectableSink[] = [];
    for (let i = 0; i < members.length; i++) {
      rotated.push(members[(turn + i) % members.length] as SelectableSink);
    }
    const first = rotated.findIndex(({ available }) => available);
    turn = (turn + Math.max(0, first) + 1) % members.length;
    return rotated;
  };
}
