import { type Clock, MillraceError } from "@millrace/core";
import { alignUp } from "../format/bytes.ts";
import { recordHeadBytes } from "../format/record.ts";

/** What a put of so many event bytes counts: its record and the padding of a group of its own. */
export function roomBytesOf(eventBytes: number): number {
  // PUT_TIME, RUN and SEAL; not every record has all three.
  const extBytes = 52;
  return alignUp(recordHeadBytes + extBytes + eventBytes, 512);
}

interface Waiter {
  readonly events: number;
  readonly bytes: number;
  grant(): void;
  refuse(error: MillraceError): void;
}

/** Room in events and bytes, granted first come first served. */
export class Room {
  readonly capacity: number;
  readonly byteCapacity: number;
  readonly #keepAliveMs: number;
  readonly #clock: Clock;
  #events = 0;
  #bytes = 0;
  #waiters: Waiter[] = [];

  constructor(
    limits: { capacity: number; byteCapacity: number; keepAliveMs: number },
    clock: Clock,
  ) {
    this.capacity = limits.capacity;
    this.byteCapacity = limits.byteCapacity;
    this.#keepAliveMs = limits.keepAliveMs;
    this.#clock = clock;
  }

  /** Held by committed events and by puts that are open. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Counts what a start found, or what reading it showed; may go over the limits. */
  occupy(events: number, bytes: number): void {
    this.#events += events;
    this.#bytes += bytes;
  }

  release(events: number, bytes: number): void {
    this.#events -= events;
    this.#bytes -= bytes;
    this.#serve();
  }

  /** Resolves when the room is held; throws CHANNEL_FULL after keep-alive or on abort. */
  reserve(events: number, bytes: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#waiters.length === 0 && this.#fits(events, bytes)) {
      this.occupy(events, bytes);
      return Promise.resolve();
    }
    if (signal?.aborted === true) return Promise.reject(this.#full("the wait was aborted"));
    return new Promise((resolve, reject) => {
      const end = (): void => {
        timer.cancel();
        signal?.removeEventListener("abort", late);
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
      };
      const late = (): void => {
        waiter.refuse(this.#full(`no room within ${this.#keepAliveMs / 1000} s`));
        this.#serve();
      };
      const waiter: Waiter = {
        events,
        bytes,
        grant() {
          end();
          resolve();
        },
        refuse(error) {
          end();
          reject(error);
        },
      };
      const timer = this.#clock.setTimer(this.#keepAliveMs, late);
      signal?.addEventListener("abort", late, { once: true });
      this.#waiters.push(waiter);
    });
  }

  /** Ends every wait with this error. */
  refuseAll(error: MillraceError): void {
    for (const waiter of [...this.#waiters]) waiter.refuse(error);
  }

  #serve(): void {
    for (;;) {
      const first = this.#waiters[0];
      if (first === undefined || !this.#fits(first.events, first.bytes)) return;
      this.occupy(first.events, first.bytes);
      first.grant();
    }
  }

  #fits(events: number, bytes: number): boolean {
    return this.#events + events <= this.capacity && this.#bytes + bytes <= this.byteCapacity;
  }

  #full(why: string): MillraceError {
    const { capacity, byteCapacity } = this;
    return new MillraceError(
      "CHANNEL_FULL",
      `${why}: ${this.#events} of ${capacity} events and ${this.#bytes} bytes are held`,
      { context: { events: this.#events, capacity, bytes: this.#bytes, byteCapacity } },
    );
  }
}
