import {
  type EventBatch,
  MillraceError,
  type Sink,
  type SinkProcessorContext,
} from "@millrace/core";
import { GroupDelivery } from "../group-delivery.ts";
import { DeliveryLog } from "../group-log.ts";
import { GroupMember } from "../group-member.ts";
import { registerGroupMetrics } from "../group-metrics.ts";
import { groupUnavailable } from "../group-unavailable.ts";
import { createRandomOrder, createRoundRobin, type MemberOrder } from "./member-order.ts";
import type { Options } from "./options.ts";

const penaltyMsDefault = 30_000;

/**
 * Each batch goes to the member whose turn it is, and what that one does not take to the next. With
 * `backoff`, who failed has no turn until its penalty is over. Members are started and stopped by
 * their owner. Throws CONFIG_INVALID for fewer than two sinks.
 */
export function createLoadBalanceProcessor(options: Options, context: SinkProcessorContext): Sink {
  const { name, sinks } = context;
  if (sinks.size < 2) {
    throw new MillraceError(
      "CONFIG_INVALID",
      `sink group ${name} has ${sinks.size} sinks; processor type load_balance takes two or more`,
      { context: { key: "sinks" } },
    );
  }
  return new LoadBalanceGroup(options, context);
}

class LoadBalanceGroup implements Sink {
  /** One runner serves the group, a batch at a time, so that a member gets its batches in order. */
  readonly deliveriesInFlight = 1;
  readonly #name: string;
  readonly #backoff: boolean;
  readonly #newLog: () => DeliveryLog;
  readonly #members: readonly GroupMember[];
  readonly #order: MemberOrder;
  #lastUsed: GroupMember;

  constructor({ selector, backoff, maxTimeOutMs }: Options, context: SinkProcessorContext) {
    const { log, metrics, name, runtime, sinks } = context;
    this.#name = name;
    this.#backoff = backoff;
    this.#newLog = () => new DeliveryLog(log, runtime.clock);
    const penaltyMsMax = maxTimeOutMs === 0 ? penaltyMsDefault : maxTimeOutMs;
    this.#members = Array.from(
      sinks,
      ([sinkName, sink]) => new GroupMember(sinkName, sink, runtime, backoff ? penaltyMsMax : 0),
    );
    this.#lastUsed = this.#members[0] as GroupMember;
    this.#order =
      selector === "round_robin" ? createRoundRobin() : createRandomOrder(runtime.random);
    registerGroupMetrics(metrics, name, this.#members, ({ failures }) => failures === 0);
  }

  /** What the member that had the last batch likes: whose turn is next is not known yet. */
  get batchSize(): number {
    return this.#lastUsed.sink.batchSize;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  flush(): void {
    for (const { sink } of this.#members) sink.flush?.();
  }

  async deliver(batch: EventBatch, giveUp: AbortSignal): Promise<void> {
    const delivery = new GroupDelivery(batch, giveUp);
    const said = this.#newLog();
    let lastError;
    for (const member of this.#order(this.#members, ({ penaltyMs }) => penaltyMs === 0)) {
      this.#lastUsed = member;
      lastError = await this.#offer(member, delivery, said);
      if (lastError === undefined) return delivery.finish();
    }
    const retryAfterMs = Math.min(...this.#members.map(({ penaltyMs }) => penaltyMs));
    said.noneLeft(retryAfterMs);
    throw groupUnavailable(this.#name, delivery, this.#members, retryAfterMs, lastError);
  }

  /** Undefined when the member took all that was left; else its error. Throws what ends the delivery. */
  async #offer(member: GroupMember, delivery: GroupDelivery, said: DeliveryLog) {
    const failing = member.failures > 0;
    const offered = await delivery.offerTo(member.sink);
    switch (offered.outcome) {
      case "delivered":
        member.reinstate();
        said.delivered(member, failing ? "delivers again" : undefined);
        return undefined;
      case "rejected":
        member.reinstate();
        said.delivered(member, failing ? "delivers again" : undefined);
        throw delivery.lift(offered.error.code, offered.error.message, { cause: offered.error });
      case "given up":
        said.givenUp();
        throw delivery.lift(offered.error.code, offered.error.message, { cause: offered.error });
      case "failed":
        member.penalise(offered.error);
        if (!failing) said.failed(member, delivery, this.#consequence(member));
        return offered.error;
    }
  }

  #consequence({ penaltyMs }: GroupMember): string {
    return this.#backoff ? `, left out for ${Math.round(penaltyMs / 100) / 10} s` : "";
  }
}
