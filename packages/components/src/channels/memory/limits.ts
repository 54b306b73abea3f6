import { type EventBatch, MillraceError } from "@millrace/core";
import { getHeapStatistics } from "node:v8";
import type { Options } from "./options.ts";

/** What bounds a channel, as its options say. */
export interface Limits {
  readonly capacity: number;
  /** Infinity for no limit. */
  readonly byteCapacity: number;
  readonly transactionCapacity: number;
  readonly keepAliveMs: number;
}

export function limitsOf(options: Options): Limits {
  return {
    capacity: options.capacity,
    byteCapacity: byteCapacityOf(options.byteCapacity),
    transactionCapacity: options.transactionCapacity,
    keepAliveMs: options.keepAliveSeconds * 1000,
  };
}

/** Flume's default is 80 % of the largest heap; 0 lifts the limit, as it does in Flume. */
function byteCapacityOf(given: number | undefined): number {
  if (given === undefined) return Math.floor(getHeapStatistics().heap_size_limit * 0.8);
  return given === 0 ? Infinity : given;
}

/** Throws TRANSACTION_TOO_LARGE for what could never be granted. */
export function assertFits(limits: Limits, name: string, batch: EventBatch, bytes: number): void {
  const { transactionCapacity, byteCapacity } = limits;
  if (batch.length > transactionCapacity) {
    throw new MillraceError(
      "TRANSACTION_TOO_LARGE",
      `a batch of ${batch.length} events is over transactionCapacity ${transactionCapacity} of channel ${name}`,
    );
  }
  if (bytes > byteCapacity) {
    throw new MillraceError(
      "TRANSACTION_TOO_LARGE",
      `a batch of ${bytes} bytes is over byteCapacity ${byteCapacity} of channel ${name}`,
    );
  }
}

/** What was asked for beside what is held: a put that found no room in its time. */
export function channelFull(
  limits: Limits,
  name: string,
  asked: { readonly events: number; readonly bytes: number },
  held: { readonly events: number; readonly bytes: number },
): MillraceError {
  const { capacity, byteCapacity, keepAliveMs } = limits;
  return new MillraceError(
    "CHANNEL_FULL",
    `channel ${name} had no room for ${asked.events} events of ${asked.bytes} bytes within ` +
      `keep-alive of ${keepAliveMs / 1000} s: it holds ${held.events} of ${capacity} ` +
      `events and ${held.bytes} of ${byteCapacity} bytes`,
  );
}
