import { type Clock, MillraceError, WaitingLine } from "@millrace/core";
import { alignUp } from "../format/bytes.ts";
import { recordHeadBytes } from "../format/record.ts";
import type { FileChannelLimits } from "../options.ts";

/** What a put of so many event bytes counts: its record and the padding of a group of its own. */
export function roomBytesOf(eventBytes: number): number {
  // PUT_TIME, RUN and SEAL; not every record has all three.
  const extBytes = 52;
  return alignUp(recordHeadBytes + extBytes + eventBytes, 512);
}

type RoomLimits = Pick<FileChannelLimits, "capacity" | "byteCapacity" | "keepAliveMs">;

interface Asked {
  readonly events: number;
  readonly bytes: number;
}

/** Room in events and bytes, granted first come first served. */
export class Room {
  #limits: RoomLimits;
  readonly #line: WaitingLine<Asked, true>;
  #events = 0;
  #bytes = 0;

  constructor(limits: RoomLimits, clock: Clock) {
    this.#limits = limits;
    this.#line = new WaitingLine(clock);
  }

  /** Whether more is held than the limits allow: as a start, or new limits, may find it. */
  get isOver(): boolean {
    const { capacity, byteCapacity } = this.#limits;
    return this.#events > capacity || this.#bytes > byteCapacity;
  }

  /** Limits from now on; who waits keeps its time. */
  setLimits(limits: RoomLimits): void {
    this.#limits = limits;
    this.#serve();
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
    const { keepAliveMs } = this.#limits;
    if (this.#line.isEmpty && this.#hold(asked) !== undefined) return;
    await this.#line.wait(asked, keepAliveMs, signal, () => {
      this.#serve();
      const aborted = signal?.aborted === true;
      throw this.#full(aborted ? "the wait was aborted" : `no room within ${keepAliveMs / 1000} s`);
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
    const { capacity, byteCapacity } = this.#limits;
    if (this.#events + events > capacity || this.#bytes + bytes > byteCapacity) return undefined;
    this.occupy(events, bytes);
    return true;
  }

  #full(why: string): MillraceError {
    const { capacity, byteCapacity } = this.#limits;
    return new MillraceError(
      "CHANNEL_FULL",
      `${why}: ${this.#events} of ${capacity} events and ${this.#bytes} bytes are held`,
      { context: { events: this.#events, capacity, bytes: this.#bytes, byteCapacity } },
    );
  }
}
