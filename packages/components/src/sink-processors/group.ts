import {
  type EventBatch,
  type Log,
  type MemberState,
  type MillraceError,
  type Sink,
  type SinkProcessorContext,
} from "@millrace/core";
import { GroupDelivery } from "./group-delivery.ts";
import { DeliveryLog } from "./group-log.ts";
import type { GroupMember, Turn } from "./group-member.ts";
import { type GroupMetrics, registerGroupMetrics } from "./group-metrics.ts";
import { type Choose, GroupTurns } from "./group-turns.ts";
import { groupUnavailable } from "./group-unavailable.ts";

/** What makes one kind of group differ from another. */
export interface GroupPolicy {
  /** In the order they are shown. */
  readonly members: readonly GroupMember[];
  /** Called once a batch; what it returns is asked for each member the batch goes to. */
  chooseFor(batch: EventBatch): Choose;
  readonly batchSize: number;
  readonly deliveriesInFlight: number;
  stateOf(member: GroupMember): MemberState["state"];
  isAvailable(member: GroupMember): boolean;
  /** What a failure means for the member, behind a comma: "penalty 2 s". */
  consequence(member: GroupMember): string;
  /** What is said of a member that delivers after it failed: "active again". */
  readonly recovered: string;
  /** Whether every failed trial is said, as after a penalty, or none. */
  readonly saysTrials: boolean;
}

/** A group also says how its members are. */
export interface SinkGroup extends Sink {
  memberStates(): readonly MemberState[];
}

/**
 * A group of sinks as one sink. The policy says whom a batch goes to; what a member did not take goes
 * on in the same call. Members are started and stopped by their owner, and bounded by their own
 * timeouts: the group adds none.
 */
export function createSinkGroup(policy: GroupPolicy, context: SinkProcessorContext): SinkGroup {
  return new MemberGroup(policy, context);
}

class MemberGroup implements SinkGroup {
  readonly #name: string;
  readonly #policy: GroupPolicy;
  readonly #context: SinkProcessorContext;
  readonly #log: Log;
  readonly #turns: GroupTurns;
  readonly #metrics: GroupMetrics;

  constructor(policy: GroupPolicy, context: SinkProcessorContext) {
    const { log, metrics, name, runtime } = context;
    this.#name = name;
    this.#policy = policy;
    this.#context = context;
    this.#log = log;
    this.#turns = new GroupTurns(policy.members, runtime.clock);
    this.#metrics = registerGroupMetrics(metrics, name, policy);
  }

  get batchSize(): number {
    return this.#policy.batchSize;
  }

  get deliveriesInFlight(): number {
    return this.#policy.deliveriesInFlight;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  flush(): void {
    for (const { sink } of this.#policy.members) sink.flush?.();
  }

  async deliver(batch: EventBatch, giveUp: AbortSignal): Promise<void> {
    const delivery = new GroupDelivery(batch, giveUp);
    const said = new DeliveryLog(this.#log, this.#context.runtime.clock);
    const ticket = this.#turns.enter(this.#policy.chooseFor(batch));
    let lastError: MillraceError | undefined;
    try {
      let turn;
      while ((turn = await ticket.next(giveUp)) !== undefined) {
        lastError = await this.#offer(turn, delivery, said);
        if (lastError === undefined) return delivery.finish();
      }
    } finally {
      ticket.leave();
    }
    throw giveUp.aborted
      ? this.#givenUp(delivery, said, lastError)
      : this.#nobodyLeft(delivery, said, lastError);
  }

  memberStates(): readonly MemberState[] {
    const now = this.#context.runtime.clock.now();
    return this.#policy.members.map((member) => {
      const { name, penaltyMs, reason } = member;
      const penalisedUntilMs = penaltyMs > 0 ? now + penaltyMs : 0;
      return { sink: name, state: this.#policy.stateOf(member), penalisedUntilMs, reason };
    });
  }

  /** Undefined when the member took all that was left; else its error. Throws what ends the delivery. */
  async #offer(turn: Turn, delivery: GroupDelivery, said: DeliveryLog) {
    const { member, onTrial } = turn;
    const offered = await delivery.offerTo(member.sink);
    // What another delivery in flight has shown meanwhile is not shown again by this one.
    const isNews = turn.changes === member.changes;
    const works = offered.outcome === "delivered" || offered.outcome === "rejected";
    if (works && isNews) member.reinstate();
    if (offered.outcome === "failed" && isNews) {
      member.penalise(offered.error);
      this.#metrics.failed(member);
      this.#tellFailure(turn, delivery, said);
    }
    if (works) said.delivered(member, onTrial && isNews ? this.#policy.recovered : undefined);
    if (offered.outcome === "given up") said.givenUp();
    if (offered.outcome === "delivered") return undefined;
    if (offered.outcome === "failed") return offered.error;
    throw delivery.lift(offered.error.code, offered.error.message, { cause: offered.error });
  }

  #nobodyLeft(delivery: GroupDelivery, said: DeliveryLog, cause: MillraceError | undefined) {
    const { members } = this.#policy;
    const retryAfterMs = Math.min(...members.map(({ penaltyMs }) => penaltyMs));
    said.noneLeft(retryAfterMs);
    return groupUnavailable(this.#name, delivery, members, retryAfterMs, cause);
  }

  #givenUp(delivery: GroupDelivery, said: DeliveryLog, cause: MillraceError | undefined) {
    said.givenUp();
    const message = `given up before a member of sink group ${this.#name} had room for the batch`;
    return delivery.lift("SINK_GROUP_UNAVAILABLE", message, { cause });
  }

  #tellFailure({ member, onTrial }: Turn, delivery: GroupDelivery, said: DeliveryLog): void {
    const { members, saysTrials } = this.#policy;
    const consequence = this.#policy.consequence(member);
    const others = members.filter(({ isLive }) => isLive);
    if (!onTrial || (saysTrials && others.length === 0)) {
      said.failed(member, delivery, consequence);
    } else if (saysTrials) {
      const active = others.filter((other) => this.#policy.stateOf(other) === "active");
      said.trialFailed(member, consequence, active);
    }
  }
}
