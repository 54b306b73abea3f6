import { type Clock, MillraceError, WaitingLine } from "@millrace/core";
import { alignUp } from "../format/bytes.ts";
import { recordHeadBytes } from "../format/record.ts";

/** What a put of so many event bytes counts: its record and the padding of a group of its own. */
export function roomBytesOf(eventBytes: number): number {
  // PUT_TIME, RUN and SEAL; not every record has all three.
  const extBytes = 52;
  return alignUp(recordHeadBytes + extBytes + eventBytes, 512);
}

interface Asked {
  readonly events: number;
  readonly bytes: number;
}

/** Room in events and bytes, granted first come first served. */
export class Room {
  readonly capacity: number;
  readonly byteCapacity: number;
  readonly #keepAliveMs: number;
  readonly #line: WaitingLine<Asked, true>;
  #events = 0;
  #bytes = 0;

  constructor(
    limits: { capacity: number; byteCapacity: number; keepAliveMs: number },
    clock: Clock,
  ) {
    this.capacity = limits.capacity;
    this.byteCapacity = limits.byteCapacity;
    this.#keepAliveMs = limits.keepAliveMs;
    this.#line = new WaitingLine(clock);
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
  async reserve(events: number, bytes: number, signal: AbortSignal | undefined): Promise<void> {
    const asked = { events, bytes };
    if (this.#line.isEmpty && this.#hold(asked) !== undefined) return;
    await this.#line.wait(asked, this.#keepAliveMs, signal, () => {
      this.#serve();
      const aborted = signal?.aborted === true;
      throw this.#full(
        aborted ? "the wait was aborted" : `no room within ${this.#keepAliveMs / 1000} s`,
      );
    });
  }

  /** Ends every wait with this error. */
  refuseAll(error: MillraceError): void {
    this.#line.end(() => {
      throw error;
    });
  }

  #serve(): void {
    this.#line.serve((asked) => this.#hold(asked));
  }

  #hold({ events, bytes }: Asked): true | undefined {
    if (this.#events + events > this.capacity || this.#bytes + bytes > this.byteCapacity) {
      return undefined;
    }
    this.occupy(events, bytes);
    return true;
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
