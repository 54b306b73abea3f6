import type { Clock, Log } from "@millrace/core";
import type { GroupDelivery } from "./group-delivery.ts";
import type { GroupMember } from "./group-member.ts";

/**
 * Says of one delivery what changed in the group, in one line per member that failed: who, why, what
 * happens to the batch, and who has it now. The last failure waits for whoever takes the batch.
 */
export class DeliveryLog {
  readonly #log: Log;
  readonly #clock: Clock;
  #failed: { readonly line: string; readonly atMs: number } | undefined;

  constructor(log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  failed(member: GroupMember, delivery: GroupDelivery, consequence: string): void {
    this.#flush("");
    const left = delivery.restLength.toLocaleString("en-US");
    const whole = delivery.batch.length.toLocaleString("en-US");
    const what = left === whole ? `1 batch of ${whole}` : `${left} of a batch of ${whole}`;
    this.#failed = {
      line: `${member.name} ${member.reason}, ${what} rolled back${consequence}`,
      atMs: this.#clock.monotonic(),
    };
  }

  trialFailed(member: GroupMember, consequence: string, active: readonly GroupMember[]): void {
    const names = active.map(({ name }) => name).join(", ");
    const stays = names === "" ? "" : `; ${names} ${active.length > 1 ? "stay" : "stays"} active`;
    this.#log.info(`${member.name} failed a trial batch (${member.reason})${consequence}${stays}`);
  }

  delivered(member: GroupMember, recovered: string | undefined): void {
    if (this.#failed !== undefined) {
      const ms = Math.round(this.#clock.monotonic() - this.#failed.atMs);
      this.#flush(`; now ${member.name} (after ${ms} ms)`);
    } else if (recovered !== undefined) {
      this.#log.info(`${member.name} ${recovered}`);
    }
  }

  noneLeft(retryAfterMs: number): void {
    const next = retryAfterMs > 0 ? `, next try in ${secondsText(retryAfterMs)}` : "";
    this.#flush(`; no member is left${next}`);
  }

  /** The delivery ends without anyone having the batch. */
  givenUp(): void {
    this.#flush("");
  }

  #flush(end: string): void {
    if (this.#failed !== undefined) this.#log.warn(this.#failed.line + end);
    this.#failed = undefined;
  }
}

export function penaltyText(member: GroupMember): string {
  return `, penalty ${secondsText(member.penaltyMs)}`;
}

export function secondsText(ms: number): string {
  return `${Math.round(ms / 100) / 10} s`;
}
