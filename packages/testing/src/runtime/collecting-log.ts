import type { Log, LogDetail } from "@millrace/core";

export interface LogLine {
  readonly level: "error" | "warn" | "info" | "debug";
  readonly message: string;
  readonly detail: LogDetail;
}

export interface CollectingLog extends Log {
  readonly lines: readonly LogLine[];
}

/** Keeps every line, so that a test can look for it. */
export function createCollectingLog(): CollectingLog {
  const lines: LogLine[] = [];
  const at =
    (level: LogLine["level"]) =>
    (message: string, detail: LogDetail = {}): void => {
      lines.push({ level, message, detail });
    };
  return { lines, error: at("error"), warn: at("warn"), info: at("info"), debug: at("debug") };
}
