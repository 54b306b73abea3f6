import {
  type Clock,
  DeliveryError,
  jitter,
  type MillraceError,
  type Random,
  type SelectableSink,
  type Sink,
  systemErrorCode,
} from "@millrace/core";

const penaltyBaseMs = 1000;

/** A store may ask for a longer wait than the group's limit, up to this. */
const askedPenaltyMsMax = 300_000;

/** A delivery that a member has begun, until it is ended. */
export interface Turn {
  readonly member: GroupMember;
  /** It is the one batch that shows whether a member that failed works again. */
  readonly onTrial: boolean;
  /** `member.changes` when it began. */
  readonly changes: number;
}

/**
 * A sink of a group, and what the group knows of its health and its room. A penalty is 2 s after the
 * first failure in a row and doubles with each, up to the group's limit, none when that is 0; a
 * delivered batch ends the row. After a failure it has room for one batch at a time, its trial.
 */
export class GroupMember implements SelectableSink {
  readonly name: string;
  readonly sink: Sink;
  /** In a row. */
  failures = 0;
  /** Why the last delivery failed, in a word: ECONNRESET, RPC_TIMEOUT. */
  reason = "";
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #penaltyMsMax: number;
  #penaltyEndMs = 0;
  #changes = 0;
  #underWay = 0;
  #onTrial = false;

  constructor(
    name: string,
    sink: Sink,
    { clock, random }: { clock: Clock; random: Random },
    penaltyMsMax: number,
  ) {
    this.name = name;
    this.sink = sink;
    this.#clock = clock;
    this.#random = random;
    this.#penaltyMsMax = penaltyMsMax;
  }

  get isLive(): boolean {
    return this.failures === 0;
  }

  /** It failed, and may be tried again. */
  get isDue(): boolean {
    return this.failures > 0 && this.penaltyMs === 0;
  }

  get onTrial(): boolean {
    return this.#onTrial;
  }

  /** Milliseconds until it may be tried again; 0 when it may. */
  get penaltyMs(): number {
    return Math.max(0, this.#penaltyEndMs - this.#clock.monotonic());
  }

  /** Deliveries that it has not answered. */
  get underWay(): number {
    return this.#underWay;
  }

  /** How many deliveries it may have at once now. */
  get capacity(): number {
    if (this.penaltyMs > 0) return 0;
    return this.isLive ? Math.max(1, this.sink.deliveriesInFlight) : 1;
  }

  /** Whether it could begin a delivery now, its penalty aside. */
  get hasRoom(): boolean {
    if (this.#onTrial) return false;
    return this.#underWay < Math.max(1, this.sink.deliveriesInFlight);
  }

  get available(): boolean {
    return this.penaltyMs === 0 && this.hasRoom;
  }

  /** Grows with every failure and recovery: what began before the last one tells nothing new. */
  get changes(): number {
    return this.#changes;
  }

  begin(): Turn {
    this.#underWay++;
    const onTrial = !this.isLive;
    if (onTrial) this.#onTrial = true;
    return { member: this, onTrial, changes: this.#changes };
  }

  end({ onTrial }: Turn): void {
    this.#underWay--;
    if (onTrial) this.#onTrial = false;
  }

  penalise(error: MillraceError): void {
    this.#changes++;
    this.failures++;
    this.reason = reasonOf(error);
    this.#penaltyEndMs = this.#clock.monotonic() + this.#penaltyAfter(error);
  }

  reinstate(): void {
    if (this.failures === 0) return;
    this.#changes++;
    this.failures = 0;
    this.reason = "";
    this.#penaltyEndMs = 0;
  }

  #penaltyAfter(error: MillraceError): number {
    const max = this.#penaltyMsMax;
    if (max === 0) return 0;
    // In doubles: Flume's shift of an int turns negative after some twenty failures.
    const doubled = Math.min(max, penaltyBaseMs * 2 ** Math.min(this.failures, 30));
    const asked = error instanceof DeliveryError ? (error.retryAfterMs ?? 0) : 0;
    return Math.max(
      Math.min(max, jitter(this.#random, doubled)),
      Math.min(askedPenaltyMsMax, asked),
    );
  }
}

/** The system's word for what went wrong where there is one, else ours. */
function reasonOf(error: MillraceError): string {
  for (let cause: unknown = error.cause; cause instanceof Error; cause = cause.cause) {
    const code = systemErrorCode(cause);
    if (code !== "") return code;
  }
  return error.code;
}
