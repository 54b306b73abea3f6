import type { Clock, Timer } from "@millrace/core";

/** Where progress is shown. */
export interface Screen {
  readonly isTerminal: boolean;
  write(text: string): void;
}

/** Counts what was acknowledged, and shows it on a terminal while it grows. */
export interface Progress {
  readonly events: number;
  /** `bytes` of the input, up to the last event. */
  sent(events: number, bytes: number): void;
  /** Takes the line away; says how much it was, in words. */
  finish(): string;
}

const redrawMs = 250;

/** `bytesTotal` is of a file; without it no percentage is shown. */
export function createProgress(clock: Clock, screen: Screen, bytesTotal?: number): Progress {
  const startedMs = clock.monotonic();
  let events = 0;
  let bytes = 0;
  let timer: Timer | undefined;

  const seconds = (): number => (clock.monotonic() - startedMs) / 1000;
  const rate = (): string => `${Math.round(events / Math.max(seconds(), 0.001))} events/s`;

  const draw = (): void => {
    const part =
      bytesTotal === undefined || bytesTotal === 0
        ? ""
        : ` of ${formatBytes(bytesTotal)} (${Math.floor((100 * bytes) / bytesTotal)} %)`;
    screen.write(`\r\u001b[K${formatBytes(bytes)}${part}, ${events} events, ${rate()}`);
    timer = clock.setTimer(redrawMs, draw);
  };
  if (screen.isTerminal) timer = clock.setTimer(redrawMs, draw);

  return {
    get events() {
      return events;
    },
    sent(moreEvents, moreBytes) {
      events += moreEvents;
      bytes += moreBytes;
    },
    finish() {
      timer?.cancel();
      timer = undefined;
      if (screen.isTerminal) screen.write("\r\u001b[K");
      return `sent ${events} events, ${formatBytes(bytes)} in ${seconds().toFixed(1)} s, ${rate()}`;
    },
  };
}

function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} bytes`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value.toFixed(1)} ${units[unit]}`;
}
