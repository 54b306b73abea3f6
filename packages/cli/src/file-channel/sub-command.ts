import type { Runtime } from "@millrace/core";
import type { Screen } from "../avro-client/progress.ts";
import type { ExitCode } from "../exit-code.ts";
import type { Output, ProgramName } from "../program.ts";

/** What a sub-command has beside its words, so that tests can give their own. */
export interface Surroundings {
  readonly program: ProgramName;
  readonly output: Output;
  /** Standard error, for progress. */
  readonly screen: Screen;
  readonly runtime: Runtime;
  /** The user's home directory, for a `~` in a path. */
  readonly home: string;
  /** Aborted, with the exit code as the reason, when the user has enough. */
  readonly interrupted: AbortSignal;
  /** `-D` words, and what stands in for them. */
  readonly systemProperties: ReadonlyMap<string, string>;
  /** Asks on the terminal; undefined where there is none to ask on. */
  confirm(question: string): Promise<boolean | undefined>;
}

/** One of `millrace file-channel ...`. Each file of a sub-command exports one, named `xCommand`. */
export interface SubCommand {
  /** One line for the list of sub-commands. */
  readonly summary: string;
  /** What `--help` prints: how it is called, each option, an example. */
  readonly usage: string;
  /**
   * Resolves when it is over. `args` are the words behind the sub-command's name. What it throws
   * as a MillraceError is printed and ends with `toolExitCode.impossible`.
   */
  run(args: readonly string[], around: Surroundings): Promise<ExitCode>;
}

/** Of all sub-commands: scripts tell damage from a directory that could not be looked at. */
export const toolExitCode = {
  /** Done, and all is well. */
  ok: 0,
  /** Done, and something is wrong: damage was found, or events were left behind. */
  wrong: 1,
  /** It could not be done: words, directories, locks, disks. */
  impossible: 2,
} as const;

/** The words cannot be understood; printed with the sub-command's usage. */
export class UsageError extends Error {}
