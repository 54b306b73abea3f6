import type { SelectableSink, SinkSelector } from "@millrace/core";

/** Turns in the order of the group. Who is not available has no turn: it goes to the next. */
export function createRoundRobin(): SinkSelector {
  let turn = 0;
  const rotate = (members: readonly SelectableSink[]): SelectableSink[] => [
    ...members.slice(turn),
    ...members.slice(0, turn),
  ];
  return (members) => {
    const passed = rotate(members).findIndex(({ available }) => available);
    turn = (turn + Math.max(0, passed)) % members.length;
    const order = rotate(members);
    turn = (turn + 1) % members.length;
    return order;
  };
}
