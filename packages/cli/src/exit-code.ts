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
} as const;

export type ExitCode = (typeof exitCode)[keyof typeof exitCode];
