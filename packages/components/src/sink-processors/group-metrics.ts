import type { Metrics } from "@millrace/core";
import type { GroupMember } from "./group-member.ts";

/** Declares what the monitoring port shows of each member of a group. */
export function registerGroupMetrics(
  metrics: Metrics,
  group: string,
  members: readonly GroupMember[],
  isAvailable: (member: GroupMember) => boolean,
): void {
  for (const member of members) {
    const labels = { group, sink: member.name };
    metrics.gauge(
      "millrace_sink_member_available",
      "1 while the group delivers to the member or would, 0 while it is failing.",
      () => (isAvailable(member) ? 1 : 0),
      labels,
    );
    metrics.gauge(
      "millrace_sink_member_penalty_seconds",
      "Time until the group tries the member again.",
      () => member.penaltyMs / 1000,
      labels,
    );
  }
}
