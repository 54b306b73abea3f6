import {
  type Clock,
  DeliveryError,
  jitter,
  type MillraceError,
  type Random,
  type Sink,
  systemErrorCode,
} from "@millrace/core";

const penaltyBaseMs = 1000;

/** A store may ask for a longer wait than the group's limit, up to this. */
const askedPenaltyMsMax = 300_000;

/**
 * A sink of a group, and what the group knows of its health. A penalty is 2 s after the first
 * failure in a row and doubles with each, up to the group's limit, none when that is 0; a delivered batch ends the row.
 */
export class GroupMember {
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

  /** Milliseconds until it may be tried again; 0 when it may. */
  get penaltyMs(): number {
    return Math.max(0, this.#penaltyEndMs - this.#clock.monotonic());
  }

  /** Grows with every failure and recovery: what began before the last one tells nothing new. */
  get changes(): number {
    return this.#changes;
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
