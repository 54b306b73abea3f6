import type { Host } from "./host-list.ts";

/** Finds the hosts of one address, again and again. */
export interface HostFinder {
  /** Who is asked, for the log: "DNS", "Consul at 127.0.0.1:8500". */
  readonly asked: string;
  /** Whether the order of what it finds means something, so that it is kept. */
  readonly ordered: boolean;
  /** The pause between an answer and the next question. */
  readonly pauseMs: number;
  /** The longest pause after failures, which grows from a second. */
  readonly retryMaxMs: number;
  /**
   * The hosts as they are now; after the first answer it may wait for news. Never an empty list:
   * nobody there is DISCOVERY_FAILED, as is no answer; `answered: true` in its context says that
   * the next question itself waits for news. Settles soon after `giveUp` aborts.
   */
  find(giveUp: AbortSignal): Promise<readonly Host[]>;
  close(): void;
}
