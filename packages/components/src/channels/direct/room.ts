import { getHeapStatistics } from "node:v8";

/** What the channel lets senders and sinks hold together. Nothing is stored: this only counts. */
export class Room {
  readonly capacity: number;
  readonly byteCapacity: number;
  events = 0;
  bytes = 0;

  constructor(capacity: number, byteCapacity: number | undefined) {
    this.capacity = capacity;
    this.byteCapacity = byteCapacityOf(byteCapacity);
  }

  /** Says whether there was enough. */
  hold(events: number, bytes: number): boolean {
    if (this.events + events > this.capacity || this.bytes + bytes > this.byteCapacity) {
      return false;
    }
    this.events += events;
    this.bytes += bytes;
    return true;
  }

  free(events: number, bytes: number): void {
    this.events -= events;
    this.bytes -= bytes;
  }

  clear(): void {
    this.events = 0;
    this.bytes = 0;
  }
}

/** 0 lifts the limit, as it does for a memory channel. */
function byteCapacityOf(given: number | undefined): number {
  if (given === undefined) return Math.floor(getHeapStatistics().heap_size_limit / 4);
  return given === 0 ? Infinity : given;
}
