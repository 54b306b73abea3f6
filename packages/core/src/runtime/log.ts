/**
 * Where a component says what changed: a line a state change, never one an event. The agent writes
 * it through winston, with the component's name, and folds repeats.
 */
export interface Log {
  error(message: string, detail?: LogDetail): void;
  warn(message: string, detail?: LogDetail): void;
  info(message: string, detail?: LogDetail): void;
  debug(message: string, detail?: LogDetail): void;
}

export type LogDetail = Readonly<Record<string, unknown>>;

/** Says nothing. */
export const silentLog: Log = {
  error() {},
  warn() {},
  info() {},
  debug() {},
};
