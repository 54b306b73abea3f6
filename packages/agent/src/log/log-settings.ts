export type LogLevel = "error" | "warn" | "info" | "debug";

/** log4j's levels, and what they are here. */
const levels: Readonly<Record<string, LogLevel>> = {
  OFF: "error",
  FATAL: "error",
  ERROR: "error",
  WARN: "warn",
  INFO: "info",
  DEBUG: "debug",
  TRACE: "debug",
  ALL: "debug",
};

/**
 * The level from `-Dmillrace.log.level=debug` or Flume's `-Dflume.root.logger=DEBUG,console`. Lines go
 * to standard error whatever appender is named, as Flume's console appender does; `note` says so
 * where another was asked for.
 */
export function readLogSettings(defines: ReadonlyMap<string, string>): {
  readonly level: LogLevel;
  readonly note?: string;
} {
  const [rootLevel = "", ...appenders] = (defines.get("flume.root.logger") ?? "INFO").split(",");
  const given = (defines.get("millrace.log.level") ?? rootLevel).trim();
  const level = levels[given.toUpperCase()];
  if (level === undefined) {
    const known = "error, warn, info or debug";
    return { level: "info", note: `log level ${given} is not known; it is ${known}` };
  }
  const other = appenders.map((name) => name.trim()).find((name) => !/^console$/i.test(name));
  if (other === undefined) return { level };
  return { level, note: `log lines go to standard error; the appender ${other} is not used` };
}
