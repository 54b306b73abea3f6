/** What every component lives through. */
export interface Lifecycle {
  /**
   * Resolves when the component is usable: listening, opened, its directory checked. Throws a
   * MillraceError that names what to correct. `aborted` means: give up starting.
   */
  start(aborted: AbortSignal): Promise<void>;
  /**
   * Idempotent, and safe without start. Finishes what is under way; at `deadline` gives it up.
   * After it resolves nothing of the component runs. Never rejects for what happened before.
   */
  stop(deadline: AbortSignal): Promise<void>;
}
