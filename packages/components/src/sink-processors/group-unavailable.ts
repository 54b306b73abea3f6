import type { DeliveryError, MillraceError } from "@millrace/core";
import type { GroupDelivery } from "./group-delivery.ts";
import type { GroupMember } from "./group-member.ts";

/** The error when no member could take the batch: each member's last error, and when to try again. */
export function groupUnavailable(
  group: string,
  delivery: GroupDelivery,
  members: readonly GroupMember[],
  retryAfterMs: number,
  cause: MillraceError | undefined,
): DeliveryError {
  const states = members.map((member) => {
    const seconds = Math.ceil(member.penaltyMs / 100) / 10;
    const penalty = seconds > 0 ? `, penalised for ${seconds} s` : "";
    return `${member.name} ${member.reason === "" ? "was not asked" : member.reason}${penalty}`;
  });
  return delivery.lift(
    "SINK_GROUP_UNAVAILABLE",
    `no member of sink group ${group} could take the batch: ${states.join("; ")}`,
    // Without a penalty to wait for, the runner's own back-off applies.
    { cause, ...(retryAfterMs > 0 ? { retryAfterMs } : {}) },
  );
}
