import { formatProblem, listAgents, loadConfiguration, type Problem } from "@millrace/agent";
import { type RegistryEntry, systemRuntime } from "@millrace/core";
import { parseArgs } from "node:util";
import { exitCode, type ExitCode } from "../exit-code.ts";
import type { Output } from "../program.ts";
import { gatherDefines } from "../words/gather-defines.ts";
import type { Words } from "../words/split-words.ts";
import { loadRegistry } from "./load-registry.ts";

/** What `check --inventory` is asked to look at. */
export interface InventoryWords {
  readonly files: readonly string[];
  readonly confDirectory: string | undefined;
  readonly pluginFolders: readonly string[];
}

/**
 * What stands between an agent's configuration and this program:
 *
 * - `runs as it is`: nothing;
 * - `runs with notes`: nothing that keeps it from running; something to read first;
 * - `needs a decision`: a part of it that is not here, or that was never right.
 */
export type Verdict = "runs as it is" | "runs with notes" | "needs a decision";

interface Entry {
  readonly file: string;
  /** Undefined when the file has none. */
  readonly agent: string | undefined;
  readonly verdict: Verdict;
  readonly problems: readonly Problem[];
}

const options = {
  inventory: { type: "boolean" },
  conf: { type: "string", short: "c" },
  "plugins-path": { type: "string", multiple: true },
} as const;

/** Undefined when no inventory is asked for. */
export function parseInventoryWords(
  words: Words,
): InventoryWords | { readonly problem: string } | undefined {
  if (!words.options.includes("--inventory")) return undefined;
  try {
    const given = { args: [...words.options], options, allowPositionals: true } as const;
    const { values, positionals: files } = parseArgs(given);
    if (files.length === 0) return { problem: "--inventory names no file" };
    const folders = (values["plugins-path"] ?? []).flatMap((list) => list.split(":"));
    const pluginFolders = folders.filter(Boolean);
    return { files, confDirectory: values.conf, pluginFolders };
  } catch (error) {
    return { problem: (error as Error).message.replace(/\. To specify a positional[\s\S]*$/, "") };
  }
}

/** Looks at every agent of every file, says what it needs, and sums up. Opens nothing else. */
export async function inventory(
  { files, confDirectory, pluginFolders }: InventoryWords,
  words: Words,
  { out }: Output,
): Promise<ExitCode> {
  const { defines } = await gatherDefines(words, confDirectory, process.env, systemRuntime.files);
  const registry = await loadRegistry();
  const entries: Entry[] = [];
  for (const file of new Set(files)) {
    const found = await lookAt(file, { registry, defines, pluginFolders });
    entries.push(...found);
    for (const entry of found) out(describe(entry));
  }
  out(`\n${table(entries)}\n\n${sum(entries, new Set(files).size)}`);
  const decisions = entries.some(({ verdict }) => verdict === "needs a decision");
  return decisions ? exitCode.configuration : exitCode.ok;
}

interface Surroundings {
  readonly registry: readonly RegistryEntry[];
  readonly defines: ReadonlyMap<string, string>;
  readonly pluginFolders: readonly string[];
}

async function lookAt(file: string, surroundings: Surroundings): Promise<Entry[]> {
  const { agents, problems } = await listAgents(file);
  if (agents.length === 0) {
    const message = "lists no agent's sources, channels or sinks";
    const none: Problem = { severity: "error", file, line: 0, column: 0, property: "", message };
    const unread = problems.some(({ severity }) => severity === "error");
    const verdict = "needs a decision";
    return [{ file, agent: undefined, verdict, problems: unread ? problems : [...problems, none] }];
  }
  const entries: Entry[] = [];
  for (const agent of agents) {
    const request = { files: [file], agent, mode: "strict" as const, ...surroundings };
    const { startable, problems: found } = await loadConfiguration(request);
    const verdict = !startable
      ? "needs a decision"
      : found.length > 0
        ? "runs with notes"
        : "runs as it is";
    entries.push({ file, agent, verdict, problems: found });
  }
  return entries;
}

function describe({ file, agent, verdict, problems }: Entry): string {
  const head = `${file}${agent === undefined ? "" : ` ${agent}`}: ${verdict}`;
  return [head, ...problems.map((each) => `  ${each.severity}: ${formatProblem(each)}`)].join("\n");
}

function table(entries: readonly Entry[]): string {
  const rows = [
    ["file", "agent", "verdict", "errors", "warnings", "notes"],
    ...entries.map(({ file, agent, verdict, problems }) => {
      const count = (severity: Problem["severity"]): string =>
        String(problems.filter((problem) => problem.severity === severity).length);
      return [file, agent ?? "-", verdict, count("error"), count("warning"), count("note")];
    }),
  ];
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function sum(entries: readonly Entry[], fileCount: number): string {
  const count = (verdict: Verdict): string =>
    `${entries.filter((entry) => entry.verdict === verdict).length} ${verdict}`;
  const verdicts = ["runs as it is", "runs with notes", "needs a decision"] as const;
  const agents = entries.filter(({ agent }) => agent !== undefined).length;
  return `${plural(agents, "agent")} in ${plural(fileCount, "file")}: ${verdicts.map(count).join(", ")}`;
}

const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`;
