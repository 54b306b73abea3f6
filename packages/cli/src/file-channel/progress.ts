import type { Clock } from "@millrace/core";
import type { Progress } from "@millrace/file-channel";
import type { Screen } from "../avro-client/progress.ts";
import { formatBytes, formatSeconds } from "./figures.ts";

/** Shows how far a long piece of work is. */
export interface ProgressBar {
  /** Called as often as there is news; draws now and then. */
  update(progress: Progress, more?: string): void;
  /** Takes the line away. */
  clear(): void;
}

const redrawMs = 250;
const lineEveryMs = 1000;
const barWidth = 24;

/** A bar on a terminal; elsewhere a line at most a second, and none for work of under a second. */
export function createProgressBar(clock: Clock, screen: Screen): ProgressBar {
  const startedMs = clock.monotonic();
  const everyMs = screen.isTerminal ? redrawMs : lineEveryMs;
  let shownMs = startedMs;
  let isDrawn = false;
  return {
    update(progress, more) {
      const now = clock.monotonic();
      if (now - shownMs < everyMs) return;
      shownMs = now;
      const text = describe(progress, (now - startedMs) / 1000, screen.isTerminal);
      const whole = more === undefined ? text : `${text}, ${more}`;
      screen.write(screen.isTerminal ? `\r\u001b[K${whole}` : `${whole}\n`);
      isDrawn = screen.isTerminal;
    },
    clear() {
      if (isDrawn) screen.write("\r\u001b[K");
      isDrawn = false;
    },
  };
}

function describe({ what, bytes, bytesTotal }: Progress, seconds: number, bar: boolean): string {
  const rate = bytes / seconds;
  const speed = `${formatBytes(Math.round(rate))}/s`;
  if (bytesTotal === undefined || bytesTotal === 0)
    return `${what} ${formatBytes(bytes)}, ${speed}`;
  const part = Math.min(1, bytes / bytesTotal);
  const filled = Math.round(part * barWidth);
  const drawn = bar ? ` [${"#".repeat(filled)}${".".repeat(barWidth - filled)}]` : "";
  const left = rate > 0 ? `, ${formatSeconds((bytesTotal - bytes) / rate)} left` : "";
  return `${what}${drawn} ${Math.floor(part * 100)} % of ${formatBytes(bytesTotal)}, ${speed}${left}`;
}
