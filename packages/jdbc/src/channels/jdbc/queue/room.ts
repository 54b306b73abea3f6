import { type Clock, MillraceError } from "@millrace/core";
import { WaitingLine } from "./waiting-line.ts";

/** Room for so many events, granted first come, first served. */
export class Room {
  readonly #capacity: number;
  readonly #waiting: WaitingLine<number, true>;
  #events = 0;

  constructor(name: string, capacity: number, keepAliveMs: number, clock: Clock) {
    this.#capacity = capacity;
    this.#waiting = new WaitingLine(clock, keepAliveMs, (asked) => {
      throw new MillraceError(
        "CHANNEL_FULL",
        `${name} holds ${this.#events} of ${capacity} events (maximum.capacity): no room for ${asked} more within ${keepAliveMs} ms`,
        { context: { held: this.#events, capacity, asked } },
      );
    });
    this.#waiting.onLeft = () => this.#serve();
  }

  /** Counts what a start found; may go over the limit. */
  occupy(events: number): void {
    this.#events += events;
  }

  release(events: number): void {
    this.#events -= events;
    this.#serve();
  }

  /** Resolves when the room is held; throws CHANNEL_FULL. */
  async reserve(events: number, signal: AbortSignal | undefined): Promise<void> {
    if (this.#waiting.isEmpty && this.#grant(events) === true) return;
    await this.#waiting.wait(events, signal);
  }

  refuseAll(error: MillraceError): void {
    this.#waiting.end(() => {
      throw error;
    });
  }

  #grant(events: number): true | undefined {
    if (this.#events + events > this.#capacity) return undefined;
    this.#events += events;
    return true;
  }

  #serve(): void {
    this.#waiting.serve((asked) => this.#grant(asked));
  }
}
