import type { CounterGroup, Log } from "@millrace/core";

/** Told of what cannot be shown, and why. */
export type LeaveOut = (what: string, error: unknown) => void;

/** Says it once of each: what cannot be shown must not take all the others away. */
export function createLeaveOut(log: Log): LeaveOut {
  const said = new Set<string>();
  return (what, error) => {
    if (said.has(what)) return;
    said.add(what);
    log.error(`metric ${what} cannot be read and is left out`, { error });
  };
}

/** The groups that can be read, as they are now. */
export function readableGroups(
  groups: readonly CounterGroup[],
  leaveOut: LeaveOut,
): CounterGroup[] {
  return groups.flatMap((group) => {
    try {
      const values = group.read();
      return [{ ...group, read: () => values }];
    } catch (error) {
      leaveOut(`${group.kind}.${group.name}`, error);
      return [];
    }
  });
}
