import type { Clock, Metrics, Timer } from "@millrace/core";

/** How often it is looked whether a timer fires in time. */
const everyMs = 100;
/** How far back a reading looks. Whoever reads, however often, sees all of it. */
const windowMs = 60_000;

export interface EventLoopLag {
  /** Begins to measure; nothing is known of the time before. */
  start(): void;
  stop(): void;
  /** In seconds: this share of the last minute's timers was not later. */
  quantile(share: number): number;
}

interface Firing {
  readonly atMs: number;
  readonly lateMs: number;
}

/** Measures how late timers fire: an agent whose event loop lags answers nobody in time. */
export function createEventLoopLag(clock: Clock): EventLoopLag {
  const firings: Firing[] = [];
  let timer: Timer | undefined;
  let dueAtMs = Infinity;

  const forget = (nowMs: number): void => {
    const kept = firings.findIndex(({ atMs }) => atMs > nowMs - windowMs);
    firings.splice(0, kept < 0 ? firings.length : kept);
  };
  const wait = (): void => {
    dueAtMs = clock.monotonic() + everyMs;
    timer = clock.setTimer(everyMs, fired);
  };
  const fired = (): void => {
    const atMs = clock.monotonic();
    firings.push({ atMs, lateMs: atMs - dueAtMs });
    forget(atMs);
    wait();
  };

  return {
    start() {
      if (timer === undefined) wait();
    },
    stop() {
      timer?.cancel();
      timer = undefined;
      dueAtMs = Infinity;
    },
    quantile(share) {
      const nowMs = clock.monotonic();
      forget(nowMs);
      const late = firings.map(({ lateMs }) => lateMs);
      // The one that should have fired by now belongs to them.
      if (nowMs >= dueAtMs) late.push(nowMs - dueAtMs);
      late.sort((a, b) => a - b);
      const ms = late[Math.max(0, Math.ceil(late.length * share) - 1)] ?? 0;
      return Math.max(0, ms) / 1000;
    },
  };
}

export function declareEventLoopLag(metrics: Metrics, lag: EventLoopLag): void {
  for (const share of [0.5, 0.99]) {
    metrics.gauge(
      "millrace_event_loop_lag_seconds",
      "How late timers fired in the last minute: what so large a share of them, the quantile, did not exceed.",
      () => lag.quantile(share),
      { quantile: String(share) },
    );
  }
}
