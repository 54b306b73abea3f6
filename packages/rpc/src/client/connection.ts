import { type EventBatch, type MillraceError, toMillraceError } from "@millrace/core";
import type { EventClient } from "../wire/event-client.ts";

/** Which of the two calls: `append` is for one event. */
export type EventMessage = "append" | "appendBatch";

/** Told once each, if at all. */
export interface ConnectionEnds {
  opened(): void;
  /** It could not be made, and nobody had closed it. */
  failed(error: MillraceError): void;
  /** It was open, and is not any more. */
  closed(why: string): void;
}

/**
 * One client from its making to its end:
 *
 *   connecting ──> open ──> ended
 *        │           │ retire: no call comes any more; ends when those in flight are answered
 *        └───────────┴──> ended
 */
export class Connection {
  readonly ready: Promise<void>;
  /** When its owner replaces it, on the monotonic clock. */
  resetAtMs = Infinity;
  readonly #client: EventClient;
  readonly #ends: ConnectionEnds;
  #state: "connecting" | "open" | "ended" = "connecting";
  #retired: string | undefined;
  #inFlight = 0;

  constructor(client: EventClient, ends: ConnectionEnds) {
    this.#client = client;
    this.#ends = ends;
    this.ready = client.connect().then(
      () => {
        if (this.#state === "ended") return;
        this.#state = "open";
        ends.opened();
      },
      (error: unknown) => {
        if (this.#state !== "ended") {
          this.#state = "ended";
          ends.failed(toMillraceError(error));
        }
        throw error;
      },
    );
    // Whoever waits for it has the error; with nobody waiting it is no unhandled one.
    this.ready.catch(() => {});
  }

  /** Calls without an answer yet. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Whether it is open and nothing has gone wrong. */
  get alive(): boolean {
    return this.#state === "open" && this.#client.alive;
  }

  /** Whether the other side, or what went wrong, has ended it. */
  get isDead(): boolean {
    return this.#state === "ended" || (this.#state === "open" && !this.#client.alive);
  }

  /** Throws what the client throws; RPC_CONNECT_FAILED when it could not be made. */
  async send(message: EventMessage, batch: EventBatch): Promise<void> {
    this.#inFlight++;
    try {
      await this.ready;
      await this.#client[message](batch);
    } finally {
      this.#inFlight--;
      if (this.#retired !== undefined && this.#inFlight === 0) this.close(this.#retired);
    }
  }

  /** Closes when the calls in flight are answered, at once when there is none. */
  retire(why: string): void {
    this.#retired ??= why;
    if (this.#inFlight === 0) this.close(why);
  }

  /** Closes now; calls in flight throw. Idempotent. */
  close(why: string): void {
    if (this.#state === "ended") return;
    const wasOpen = this.#state === "open";
    this.#state = "ended";
    this.#client.close(why);
    if (wasOpen) this.#ends.closed(why);
  }
}
