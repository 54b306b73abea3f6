import type { EventBatch, MemberState, Sink, SinkProcessorContext } from "@millrace/core";
import { GroupDelivery } from "../group-delivery.ts";
import { DeliveryLog, penaltyText } from "../group-log.ts";
import { GroupMember } from "../group-member.ts";
import { registerGroupMetrics } from "../group-metrics.ts";
import { groupUnavailable } from "../group-unavailable.ts";
import type { Options } from "./options.ts";
import { readPriorities } from "./priorities.ts";

/** A failover group also says how its members are. */
export interface FailoverProcessor extends Sink {
  /** Highest priority first. */
  memberStates(): readonly MemberState[];
}

/**
 * One member delivers, the others stand by. The README has the states and what moves a member from
 * one to the next; `failover.test.ts` has a test for each row. Members are started and stopped by
 * their owner.
 */
export function createFailoverProcessor(
  options: Options,
  context: SinkProcessorContext,
): FailoverProcessor {
  return new FailoverGroup(options, context);
}

/** A member on trial has been offered a batch after its penalty, and has not answered yet. */
interface Ranked {
  readonly member: GroupMember;
  readonly rank: number;
  onTrial: boolean;
}

class FailoverGroup implements FailoverProcessor {
  readonly #name: string;
  readonly #context: SinkProcessorContext;
  readonly #newLog: () => DeliveryLog;
  readonly #members: readonly Ranked[];

  constructor(options: Options, context: SinkProcessorContext) {
    const { log, metrics, name, runtime, sinks } = context;
    this.#name = name;
    this.#context = context;
    this.#newLog = () => new DeliveryLog(log, runtime.clock);
    this.#members = readPriorities(options.priority, context).map(({ sink }, rank) => ({
      member: new GroupMember(sink, sinks.get(sink) as Sink, runtime, options.maxPenaltyMs),
      rank,
      onTrial: false,
    }));
    const members = this.#members.map(({ member }) => member);
    registerGroupMetrics(metrics, name, members, (member) => this.#isAvailable(member));
  }

  get batchSize(): number {
    return this.#current().member.sink.batchSize;
  }

  get deliveriesInFlight(): number {
    return this.#current().member.sink.deliveriesInFlight;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  flush(): void {
    for (const { member } of this.#members) member.sink.flush?.();
  }

  async deliver(batch: EventBatch, giveUp: AbortSignal): Promise<void> {
    const delivery = new GroupDelivery(batch, giveUp);
    const said = this.#newLog();
    const tried = new Set<Ranked>();
    let lastError;
    for (let next = this.#next(tried); next !== undefined; next = this.#next(tried)) {
      tried.add(next);
      lastError = await this.#offer(next, delivery, said);
      if (lastError === undefined) return delivery.finish();
    }
    const members = this.#members.map(({ member }) => member);
    const retryAfterMs = Math.min(...members.map(({ penaltyMs }) => penaltyMs));
    said.noneLeft(retryAfterMs);
    throw groupUnavailable(this.#name, delivery, members, retryAfterMs, lastError);
  }

  memberStates(): readonly MemberState[] {
    const current = this.#current();
    const now = this.#context.runtime.clock.now();
    return this.#members.map((ranked) => {
      const { name, penaltyMs, reason } = ranked.member;
      const state = penaltyMs > 0 ? "penalised" : ranked === current ? "active" : "standby";
      return { sink: name, state, penalisedUntilMs: penaltyMs > 0 ? now + penaltyMs : 0, reason };
    });
  }

  /** Undefined when the member took all that was left; else its error. Throws what ends the delivery. */
  async #offer(ranked: Ranked, delivery: GroupDelivery, said: DeliveryLog) {
    const { member } = ranked;
    const onTrial = member.failures > 0;
    const { changes } = member;
    if (onTrial) ranked.onTrial = true;
    const offered = await delivery.offerTo(member.sink);
    if (onTrial) ranked.onTrial = false;
    // Another delivery in flight has learnt meanwhile what this one learns now.
    const isNews = changes === member.changes;
    switch (offered.outcome) {
      case "delivered":
        if (isNews) member.reinstate();
        said.delivered(member, onTrial ? "answered a trial batch, active again" : undefined);
        return undefined;
      case "rejected":
        if (isNews) member.reinstate();
        said.delivered(member, onTrial ? "answered a trial batch, active again" : undefined);
        throw delivery.lift(offered.error.code, offered.error.message, { cause: offered.error });
      case "given up":
        said.givenUp();
        throw delivery.lift(offered.error.code, offered.error.message, { cause: offered.error });
      case "failed":
        if (isNews) member.penalise(offered.error);
        if (onTrial && this.#live().length > 0) {
          said.trialFailed(member, this.#live()[0]?.member);
        } else {
          said.failed(member, delivery, penaltyText(member));
        }
        return offered.error;
    }
  }

  /**
   * Whom to offer the batch: first, once a delivery, a member that outranks the active one and whose
   * penalty is over; then who is live; when none is, whoever's penalty is over.
   */
  #next(tried: ReadonlySet<Ranked>): Ranked | undefined {
    const live = this.#live().find((ranked) => !tried.has(ranked));
    const due = this.#members.filter(
      (ranked) => ranked.member.failures > 0 && ranked.member.penaltyMs === 0 && !tried.has(ranked),
    );
    if (tried.size === 0 && live !== undefined) {
      const trial = due.find(({ onTrial, rank }) => !onTrial && rank < live.rank);
      if (trial !== undefined) return trial;
    }
    return live ?? due.find(({ onTrial }) => !onTrial) ?? due[0];
  }

  #live(): Ranked[] {
    return this.#members.filter(({ member }) => member.failures === 0);
  }

  /** Whom the next batch would go to but for trials; with none left, who comes back first. */
  #current(): Ranked {
    const [live] = this.#live();
    if (live !== undefined) return live;
    return this.#members.reduce((best, ranked) =>
      ranked.member.penaltyMs < best.member.penaltyMs ? ranked : best,
    );
  }

  /** A standby whose penalty is over counts as available: no one tries it while it is outranked. */
  #isAvailable(member: GroupMember): boolean {
    if (member.failures === 0) return true;
    const [live] = this.#live();
    if (live === undefined || member.penaltyMs > 0) return false;
    return this.#members.findIndex((ranked) => ranked.member === member) > live.rank;
  }
}
