import { type MemberState, memberStates, type Metrics } from "@millrace/core";
import type { GroupMember } from "./group-member.ts";

/** What the metrics show of a group's members. */
export interface ShownGroup {
  readonly members: readonly GroupMember[];
  stateOf(member: GroupMember): MemberState["state"];
  isAvailable(member: GroupMember): boolean;
}

export interface GroupMetrics {
  /** Told of each failure that begins or prolongs a member's penalty. */
  failed(member: GroupMember): void;
}

/** Declares what the monitoring port shows of each member of a group. */
export function registerGroupMetrics(
  metrics: Metrics,
  group: string,
  { members, stateOf, isAvailable }: ShownGroup,
): GroupMetrics {
  const shown = members.map((member) => showMember(member));

  function showMember(member: GroupMember) {
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
    for (const state of memberStates) {
      metrics.gauge(
        "millrace_sink_member_state",
        "1 for the state that the member is in, 0 for the others.",
        () => (stateOf(member) === state ? 1 : 0),
        { ...labels, state },
      );
    }
    const failures = metrics.counter(
      "millrace_sink_member_failures_total",
      "Failures that began or prolonged a penalty of the member.",
      labels,
    );
    return { member, labels, failures, reasons: new Set<string>() };
  }

  return {
    failed(member) {
      const found = shown.find((one) => one.member === member);
      if (found === undefined) return;
      found.failures.value++;
      const { reason } = member;
      if (found.reasons.has(reason)) return;
      // Reasons are codes of the system and ours, so there are few; each is shown only while it holds.
      found.reasons.add(reason);
      metrics.gauge(
        "millrace_sink_member_failing_info",
        "1 while the member's last delivery has failed, with the reason.",
        () => (member.reason === reason ? 1 : undefined),
        { ...found.labels, reason },
      );
    },
  };
}
