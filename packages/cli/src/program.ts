import { type ExitCode, exitCode } from "./exit-code.ts";
import { help } from "./help.ts";
import { splitWords, type Words } from "./words/split-words.ts";

/** `millrace` refuses a configuration with errors; `flume-ng` runs what is left of it. */
export type ProgramName = "millrace" | "flume-ng";

/** Everything a command does beyond returning its exit code, so that tests can look. */
export interface Output {
  out(text: string): void;
  err(text: string): void;
}

export type Command = (words: Words, program: ProgramName, output: Output) => Promise<ExitCode>;

/** Commands are loaded when they are asked for: `millrace version` loads next to nothing. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  agent: async () => (await import("./commands/agent.ts")).agentCommand,
  node: async () => (await import("./commands/agent.ts")).agentCommand,
  "avro-client": async () => (await import("./commands/avro-client.ts")).avroClientCommand,
  check: async () => (await import("./commands/check.ts")).checkCommand,
  "file-channel": async () => (await import("./commands/file-channel.ts")).fileChannelCommand,
  "make-certs": async () => (await import("./commands/make-certs.ts")).makeCertsCommand,
  status: async () => (await import("./commands/status.ts")).statusCommand,
  top: async () => (await import("./commands/top.ts")).topCommand,
  version: async () => (await import("./commands/version.ts")).versionCommand,
  help: () => Promise.resolve(helpCommand),
};

/** Flume's, and not ours yet. */
const notYet: ReadonlySet<string> = new Set(["tool"]);

const helpCommand: Command = (_words, program, { out }) => {
  out(help(program));
  return Promise.resolve(exitCode.ok);
};

const consoleOutput: Output = {
  out: (text) => console.log(text),
  err: (text) => console.error(text),
};

/** Runs the command of the command line; the process ends with its exit code. */
export async function runProgram(program: ProgramName, args: readonly string[]): Promise<void> {
  // Timers of ours do not keep a process alive, and a command that waits for its next attempt may have nothing else.
  const alive = setInterval(() => {}, 1 << 30);
  try {
    process.exitCode = await runCommand(program, args, consoleOutput);
  } finally {
    clearInterval(alive);
  }
}

/** Resolves with the exit code when the command is over: for an agent, when it has stopped. */
export async function runCommand(
  program: ProgramName,
  args: readonly string[],
  output: Output,
): Promise<ExitCode> {
  const words = splitWords(args);
  const load = words.command === undefined ? undefined : commands[words.command];
  if (load !== undefined) {
    const command = await load();
    return command(words, program, output);
  }
  const name = words.command;
  const what =
    name === undefined
      ? "no command given"
      : notYet.has(name)
        ? `${name} is not supported in this version`
        : `unknown command ${name}`;
  output.err(`${program}: ${what}\n\n${help(program)}`);
  return exitCode.usage;
}
