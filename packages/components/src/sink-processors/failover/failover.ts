import type { MemberState, Sink, SinkProcessorContext } from "@millrace/core";
import { createSinkGroup, type GroupPolicy, type SinkGroup } from "../group.ts";
import { penaltyText } from "../group-log.ts";
import { GroupMember } from "../group-member.ts";
import type { Choose } from "../group-turns.ts";
import type { Options } from "./options.ts";
import { readPriorities } from "./priorities.ts";

/**
 * One member delivers, the others stand by. The README has the states and what moves a member from
 * one to the next; `failover.test.ts` has a test for each row.
 */
export function createFailoverProcessor(
  { priority, maxPenaltyMs }: Options,
  context: SinkProcessorContext,
): SinkGroup {
  const { runtime, sinks } = context;
  const members = readPriorities(priority, context).map(
    ({ sink }) => new GroupMember(sink, sinks.get(sink) as Sink, runtime, maxPenaltyMs),
  );
  return createSinkGroup(failover(members), context);
}

/** The members are given highest priority first. */
function failover(members: readonly GroupMember[]): GroupPolicy {
  const rankOf = (member: GroupMember): number => members.indexOf(member);
  /** Whom every batch goes to but for trials. */
  const active = (): GroupMember | undefined => members.find(({ isLive }) => isLive);

  /**
   * First, once a delivery, a better member than the active one whose penalty is over; then who is
   * live, by priority, and waiting while that one has no room; when none is, whoever's penalty is
   * over.
   */
  const choose: Choose = (tried) => {
    const left = members.filter((member) => !tried.has(member));
    const live = left.find(({ isLive }) => isLive);
    const due = left.filter(({ isDue }) => isDue);
    if (tried.size === 0 && live !== undefined) {
      const trial = due.find((member) => member.hasRoom && rankOf(member) < rankOf(live));
      if (trial !== undefined) return trial;
    }
    if (live !== undefined) return live.hasRoom ? live : "wait";
    return due.find(({ hasRoom }) => hasRoom) ?? (due.length > 0 ? "wait" : "nobody");
  };

  return {
    members,
    chooseFor: () => choose,
    get batchSize() {
      return (active() ?? firstBack(members)).sink.batchSize;
    },
    get deliveriesInFlight() {
      return active()?.capacity ?? 1;
    },
    stateOf: (member) => stateOf(member, active()),
    /** A standby whose penalty is over counts as available: no one tries it while it is outranked. */
    isAvailable(member) {
      if (member.isLive) return true;
      const best = active();
      return best !== undefined && member.isDue && rankOf(member) > rankOf(best);
    },
    consequence: penaltyText,
    recovered: "answered a trial batch, active again",
    saysTrials: true,
  };
}

function stateOf(member: GroupMember, active: GroupMember | undefined): MemberState["state"] {
  if (member.onTrial) return "trial";
  if (member.penaltyMs > 0) return "penalised";
  return member === active ? "active" : "standby";
}

function firstBack(members: readonly GroupMember[]): GroupMember {
  return members.reduce((best, member) => (member.penaltyMs < best.penaltyMs ? member : best));
}
