import {
  describePaths,
  formatPath,
  formatProblem,
  loadConfiguration,
  readMonitoringSettings,
} from "@millrace/agent";
import { systemRuntime } from "@millrace/core";
import { exitCode, type ExitCode } from "../exit-code.ts";
import { help } from "../help.ts";
import type { Command, Output } from "../program.ts";
import { type AgentWords, parseAgentWords } from "../words/agent-options.ts";
import { checkDefines } from "../words/check-defines.ts";
import { type GatheredDefines, gatherDefines } from "../words/gather-defines.ts";
import { inventory, parseInventoryWords } from "./inventory.ts";
import { loadRegistry } from "./load-registry.ts";

/** Reads and checks; opens nothing, listens on nothing, writes nothing. */
export const checkCommand: Command = async (words, program, output) => {
  const listed = parseInventoryWords(words);
  if (listed !== undefined) {
    if (!("problem" in listed)) return inventory(listed, words, output);
    output.err(`${program} check: ${listed.problem}\n\n${help(program)}`);
    return exitCode.usage;
  }
  const asked = parseAgentWords(words, program);
  if (asked === "help") {
    output.out(help(program));
    return exitCode.ok;
  }
  if ("problem" in asked) {
    output.err(`${program} check: ${asked.problem}\n\n${help(program)}`);
    return exitCode.usage;
  }
  const { files } = systemRuntime;
  const gathered = await gatherDefines(words, asked.confDirectory, process.env, files);
  return checkConfiguration(asked, gathered, output);
};

/**
 * Prints every problem to standard error, and what each path guarantees to standard output when the
 * agent could run. A warning fails the check too: it is most often a slip of the pen.
 */
export async function checkConfiguration(
  asked: AgentWords,
  { defines, notes: definesNotes }: GatheredDefines,
  { out, err }: Output,
): Promise<ExitCode> {
  const { agent, files, notes, pluginFolders } = asked;
  for (const note of [...notes, ...definesNotes]) err(`note: ${note}`);
  const ofWords = checkDefines(asked, defines);
  for (const { severity, text } of ofWords) err(`${severity}: ${text}`);
  const registry = await loadRegistry();
  const loaded = await loadConfiguration({
    ...{ files, agent, registry, defines, pluginFolders },
    mode: "strict",
  });
  for (const problem of loaded.problems) err(`${problem.severity}: ${formatProblem(problem)}`);
  if (loaded.startable && readMonitoringSettings(defines).problem === undefined) {
    for (const path of describePaths(loaded.configuration)) out(formatPath(path));
  }
  const problems = [...ofWords, ...loaded.problems];
  const failed = problems.some(({ severity }) => severity !== "note");
  return failed ? exitCode.configuration : exitCode.ok;
}
