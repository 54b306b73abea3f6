/** What the process ends with; `millrace help` prints this. */
export const exitCode = {
  /** Done; an agent was told to stop, and did. */
  ok: 0,
  /** The command line cannot be understood. */
  usage: 1,
  /** The configuration has problems. */
  configuration: 2,
  /** A component did not start. */
  start: 3,
  /** A fatal error stopped a running agent: a channel that can promise nothing any more, or a mistake of ours. */
  fatal: 4,
  /** `status`: an agent needs somebody, or cannot be asked. */
  attention: 5,
} as const;

/** Ended by a signal, as shells say it: 128 and its number. */
export type SignalExitCode = 129 | 130 | 143;

export type ExitCode = (typeof exitCode)[keyof typeof exitCode] | SignalExitCode;

export function signalExitCode(signal: NodeJS.Signals): SignalExitCode {
  if (signal === "SIGHUP") return 129;
  return signal === "SIGINT" ? 130 : 143;
}
