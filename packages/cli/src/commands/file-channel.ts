import { systemRuntime, toMillraceError, userHome } from "@millrace/core";
import { createInterface } from "node:readline/promises";
import {
  type SubCommand,
  type Surroundings,
  toolExitCode,
  UsageError,
} from "../file-channel/sub-command.ts";
import { type ExitCode, signalExitCode } from "../exit-code.ts";
import type { Command } from "../program.ts";
import { onReaderGone } from "../terminal/reader-gone.ts";
import { gatherDefines } from "../words/gather-defines.ts";
import { listenToSignals } from "./signals.ts";

/** In the order in which they are listed. */
const subCommands: Readonly<Record<string, () => Promise<SubCommand>>> = {
  verify: async () => (await import("../file-channel/verify.ts")).verifyCommand,
  stats: async () => (await import("../file-channel/stats.ts")).statsCommand,
  dump: async () => (await import("../file-channel/dump.ts")).dumpCommand,
  repair: async () => (await import("../file-channel/repair.ts")).repairCommand,
  drain: async () => (await import("../file-channel/drain.ts")).drainCommand,
  import: async () => (await import("../file-channel/import.ts")).importCommand,
};

/** Looks at, repairs, empties and imports the directories of a file channel. */
export const fileChannelCommand: Command = async (words, program, output) => {
  const { files } = systemRuntime;
  const { defines, notes } = await gatherDefines(words, undefined, process.env, files);
  for (const note of notes) output.err(note);
  const interrupted = new AbortController();
  const signals = listenToSignals(() => interrupted.abort(signalExitCode("SIGHUP")));
  void signals.asked.then((signal) => interrupted.abort(signalExitCode(signal)));
  onReaderGone(process.stdout, () => interrupted.abort(signalExitCode("SIGTERM")));
  try {
    return await runFileChannel(words.options, {
      program,
      output,
      screen: {
        isTerminal: process.stderr.isTTY === true,
        write: (text) => void process.stderr.write(text),
      },
      runtime: systemRuntime,
      home: userHome(),
      interrupted: interrupted.signal,
      systemProperties: defines,
      confirm: askOnTerminal,
    });
  } finally {
    signals.release();
  }
};

/** Runs the sub-command that the first word names. */
export async function runFileChannel(
  [name, ...args]: readonly string[],
  around: Surroundings,
): Promise<ExitCode> {
  const { output, program } = around;
  if (name === undefined || name === "help" || name === "--help" || name === "-h") {
    output.out(await listSubCommands(program));
    return name === undefined ? toolExitCode.impossible : toolExitCode.ok;
  }
  const load = Object.hasOwn(subCommands, name) ? subCommands[name] : undefined;
  if (load === undefined) {
    output.err(
      `${program} file-channel: unknown sub-command ${name}\n\n${await listSubCommands(program)}`,
    );
    return toolExitCode.impossible;
  }
  const command = await load();
  if (args.includes("--help") || args.includes("-h")) {
    output.out(`usage: ${program} file-channel ${command.usage}`);
    return toolExitCode.ok;
  }
  try {
    return await command.run(args, around);
  } catch (thrown) {
    if (thrown instanceof UsageError) {
      output.err(
        `${program} file-channel ${name}: ${thrown.message}\n\nusage: ${program} file-channel ${command.usage}`,
      );
    } else {
      const error = toMillraceError(thrown);
      output.err(`${program} file-channel ${name}: ${error.code} ${error.message}`);
    }
    return toolExitCode.impossible;
  }
}

async function listSubCommands(program: string): Promise<string> {
  const lines: string[] = [];
  for (const [name, load] of Object.entries(subCommands)) {
    lines.push(`  ${name.padEnd(8)} ${(await load()).summary}`);
  }
  return `usage: ${program} file-channel <sub-command> <directory>... [options]

sub-commands (each explains itself with --help)
${lines.join("\n")}

exit codes
  0  done, and all is well
  1  done, and something is wrong: damage was found, or events were left behind
  2  it could not be done`;
}

async function askOnTerminal(question: string): Promise<boolean | undefined> {
  if (process.stdin.isTTY !== true) return undefined;
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await lines.question(`${question} [y/N] `)).trim());
  } finally {
    lines.close();
  }
}
