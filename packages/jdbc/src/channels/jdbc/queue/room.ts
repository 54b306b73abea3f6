import { type Clock, MillraceError, WaitingLine } from "@millrace/core";

/** Room for so many events, granted first come, first served. */
export class Room {
  readonly #name: string;
  readonly #capacity: number;
  readonly #keepAliveMs: number;
  readonly #waiting: WaitingLine<number, true>;
  #events = 0;

  constructor(name: string, capacity: number, keepAliveMs: number, clock: Clock) {
    this.#name = name;
    this.#capacity = capacity;
    this.#keepAliveMs = keepAliveMs;
    this.#waiting = new WaitingLine(clock);
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
    await this.#waiting.wait(events, this.#keepAliveMs, signal, () => {
      // Whoever stands behind may ask for less.
      this.#serve();
      throw this.#full(events);
    });
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

  #full(asked: number): MillraceError {
    const held = this.#events;
    const capacity = this.#capacity;
    return new MillraceError(
      "CHANNEL_FULL",
      `${this.#name} holds ${held} of ${capacity} events (maximum.capacity): no room for ${asked} more within ${this.#keepAliveMs} ms`,
      { context: { held, capacity, asked } },
    );
  }
}
