import type { Runtime, Timer } from "@millrace/core";
import type { PodDirectory } from "./pod-directory.ts";

/** Nobody watches pods for an interceptor that has had no batch for so long. */
const idleMs = 600_000;

/**
 * A directory for one who is never told to stop: acquired when it is first needed, released when it
 * was not needed for ten minutes. An interceptor that a reload has left behind holds nothing then.
 */
export class PodLease {
  readonly #acquire: () => PodDirectory;
  readonly #runtime: Runtime;
  #directory: PodDirectory | undefined;
  #usedAtMs = 0;
  #timer: Timer | undefined;

  constructor(acquire: () => PodDirectory, runtime: Runtime) {
    this.#acquire = acquire;
    this.#runtime = runtime;
  }

  /** The directory while it is held, for gauges. */
  get held(): PodDirectory | undefined {
    return this.#directory;
  }

  use(): PodDirectory {
    this.#usedAtMs = this.#runtime.clock.monotonic();
    this.#directory ??= this.#acquire();
    this.#timer ??= this.#runtime.clock.setTimer(idleMs, () => this.#look());
    return this.#directory;
  }

  release(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#directory?.release();
    this.#directory = undefined;
  }

  #look(): void {
    const leftMs = this.#usedAtMs + idleMs - this.#runtime.clock.monotonic();
    if (leftMs <= 0) return this.release();
    this.#timer = this.#runtime.clock.setTimer(leftMs, () => this.#look());
  }
}
