import { type Log, MillraceError } from "@millrace/core";
import type { LogMetrics } from "./log-metrics.ts";

/** Says and counts what went wrong with a container's logs; what lasts is said once. */
export class LogReports {
  readonly #log: Log;
  readonly #metrics: LogMetrics;
  readonly #warned = new Set<string>();

  constructor(log: Log, metrics: LogMetrics) {
    this.#log = log;
    this.#metrics = metrics;
  }

  /** Not to be read any more; `isFile` is false when only what it held before is gone. */
  lost(path: string, lostBytes: number, what: string, isFile = true): void {
    this.#metrics.lostBytes.value += lostBytes;
    if (isFile) this.#metrics.lostFiles.value++;
    if (lostBytes > 0) {
      this.#log.warn(`${what}: ${lostBytes} bytes were not read`, { path, lostBytes });
    } else this.#log.info(what, { path });
  }

  /** A file or directory that cannot be read now. */
  unreadable(path: string, error: unknown): void {
    if (this.#warned.has(path)) return;
    this.#warned.add(path);
    const code = error instanceof MillraceError ? error.code : "READ_FAILED";
    const why = error instanceof Error ? error.message : String(error);
    this.#log.warn(`cannot be read, and is tried again: ${why}`, { code, path });
  }

  readable(path: string): void {
    this.#warned.delete(path);
  }
}
