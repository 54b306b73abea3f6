import { MillraceError } from "@millrace/core";
import type { Options } from "./options.ts";
import type { Room } from "./room.ts";
import type { DirectPut } from "./transactions.ts";

/** What a sender is told, by what happened to its batch. */
export function createRefusals(name: string, options: Options, room: Room) {
  const { keepAliveSeconds, answerTimeoutSeconds, transactionCapacity } = options;
  const within = `within keep-alive of ${keepAliveSeconds} s`;
  return {
    closed: () => new MillraceError("CHANNEL_CLOSED", `channel ${name} is not running`),
    tooLarge: (batch: string, limit: "transactionCapacity" | "byteCapacity") =>
      new MillraceError(
        "TRANSACTION_TOO_LARGE",
        `a batch of ${batch} is over ${limit} ` +
          `${limit === "byteCapacity" ? room.byteCapacity : transactionCapacity} of channel ${name}`,
      ),
    full: ({ batch, bytes }: DirectPut) =>
      new MillraceError(
        "CHANNEL_FULL",
        `channel ${name} had no room for ${batch.length} events of ${bytes} bytes ${within}: its ` +
          `senders and sinks hold ${room.events} of ${room.capacity} events and ${room.bytes} of ` +
          `${room.byteCapacity} bytes`,
      ),
    untaken: ({ batch }: DirectPut) =>
      new MillraceError(
        "CHANNEL_FULL",
        `no sink took ${batch.length} events from channel ${name} ${within}: its sinks are busy, ` +
          `their stores are gone, or it has none`,
      ),
    late: ({ batch, unsettled }: DirectPut) =>
      new MillraceError(
        "CHANNEL_TIMEOUT",
        `${unsettled} of ${batch.length} events were not delivered by the sinks of channel ` +
          `${name} within answerTimeout of ${answerTimeoutSeconds} s`,
      ),
  };
}
