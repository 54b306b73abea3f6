import { MillraceError } from "@millrace/core";
import type { SegmentStore } from "./log/segment-store.ts";
import type { FileChannelOptions } from "./options.ts";

/** Throws TRANSACTION_TOO_LARGE for a batch that could never be put, however empty the channel is. */
export function assertTransactionFits(
  options: FileChannelOptions,
  name: string,
  batch: { readonly events: number; readonly bytes: number; readonly roomBytes: number },
): void {
  const { transactionCapacity, transactionBytesMax, capacity, byteCapacity } = options;
  const { events, bytes, roomBytes } = batch;
  const eventsMax = Math.min(transactionCapacity, capacity);
  if (events <= eventsMax && bytes <= transactionBytesMax && roomBytes <= byteCapacity) return;
  const bytesMax = Math.min(transactionBytesMax, byteCapacity);
  throw new MillraceError(
    "TRANSACTION_TOO_LARGE",
    `a batch of ${events} events and ${bytes} bytes is over the ${eventsMax} events and ${bytesMax} bytes one transaction of ${name} may hold`,
    { context: { events, eventsMax, bytes, bytesMax } },
  );
}

/** What a put is told when it would eat into the disk space that is kept back. */
export function diskFull(name: string, store: SegmentStore, bytes: number): MillraceError {
  const { availableBytes } = store;
  const reservedBytes = store.reservedBytes(0);
  return new MillraceError(
    "DISK_FULL",
    `usable space exhausted: ${availableBytes} bytes are free for ${name}, and puts leave ${reservedBytes} alone (minimumRequiredSpace)`,
    { context: { availableBytes, reservedBytes, bytes } },
  );
}
