import {
  type EventBatch,
  MillraceError,
  type SinkProcessorContext,
  type SinkSelector,
} from "@millrace/core";
import { createSinkGroup, type GroupPolicy, type SinkGroup } from "../group.ts";
import { secondsText } from "../group-log.ts";
import { GroupMember } from "../group-member.ts";
import type { Choose } from "../group-turns.ts";
import type { Options } from "./options.ts";

const penaltyMsDefault = 30_000;

/**
 * Each batch goes to the member whose turn it is, and what that one does not take to the next; as
 * many are under way as the members that work can hold. With `backoff`, who failed has no turn until
 * its penalty is over. The README has the states, `load-balance.test.ts` a test for each row. Throws
 * CONFIG_INVALID for fewer than two sinks.
 */
export async function createLoadBalanceProcessor(
  { selector, backoff, maxTimeOutMs }: Options,
  context: SinkProcessorContext,
): Promise<SinkGroup> {
  const { name, runtime, sinks } = context;
  if (sinks.size < 2) {
    throw new MillraceError(
      "CONFIG_INVALID",
      `sink group ${name} has ${sinks.size} sinks; processor type load_balance takes two or more`,
      { context: { key: "sinks" } },
    );
  }
  const longest = maxTimeOutMs === 0 ? penaltyMsDefault : maxTimeOutMs;
  const members = Array.from(
    sinks,
    ([sinkName, sink]) => new GroupMember(sinkName, sink, runtime, backoff ? longest : 0),
  );
  const select = await context.makePart<SinkSelector>(selector);
  return createSinkGroup(loadBalance(members, select, backoff), context);
}

function loadBalance(
  members: readonly GroupMember[],
  select: SinkSelector,
  backoff: boolean,
): GroupPolicy {
  let lastUsed = members[0] as GroupMember;

  /** The selector is asked once a batch, when a member can take it. Who comes first is waited for. */
  const chooseFor = (batch: EventBatch): Choose => {
    let order: readonly GroupMember[] | undefined;
    return (tried) => {
      if (order === undefined) {
        const able = members.filter(({ penaltyMs }) => penaltyMs === 0);
        if (able.length === 0) return "nobody";
        if (!able.some(({ hasRoom }) => hasRoom)) return "wait";
        order = orderOf(members, select(members, batch));
      }
      const left = order.filter((member) => member.penaltyMs === 0 && !tried.has(member));
      const free = (tried.size === 0 ? left.slice(0, 1) : left).find(({ hasRoom }) => hasRoom);
      if (free !== undefined) lastUsed = free;
      return free ?? (left.length > 0 ? "wait" : "nobody");
    };
  };

  return {
    members,
    chooseFor,
    /** What the member that had the last batch likes: whose turn is next is not known yet. */
    get batchSize() {
      return lastUsed.sink.batchSize;
    },
    get deliveriesInFlight() {
      return members.reduce((sum, { capacity }) => sum + capacity, 0) || 1;
    },
    stateOf(member) {
      if (member.onTrial) return "trial";
      if (member.penaltyMs > 0) return "penalised";
      return member.isLive ? "active" : "standby";
    },
    isAvailable: ({ isLive }) => isLive,
    consequence: ({ penaltyMs }) => (backoff ? `, left out for ${secondsText(penaltyMs)}` : ""),
    recovered: "delivers again",
    saysTrials: backoff,
  };
}

/** The group's own members in the selector's order, each once; who is not named is not asked. */
function orderOf(
  members: readonly GroupMember[],
  named: Iterable<{ readonly name: string }>,
): readonly GroupMember[] {
  const byName = new Map(members.map((member) => [member.name, member]));
  return [...new Set(Array.from(named, ({ name }) => byName.get(name)))].filter(
    (member) => member !== undefined,
  );
}
