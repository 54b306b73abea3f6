import { type RegistryEntry, type Runtime, systemRuntime } from "@millrace/core";
import { resolve } from "node:path";
import { generationOf } from "./generation.ts";
import { createPluginLoader } from "../plugins/load-plugin.ts";
import { readPluginFolders } from "../plugins/plugin-folders.ts";
import { createSubstitution } from "../properties/substitute.ts";
import type { AgentConfiguration, LoadedConfiguration } from "./agent-configuration.ts";
import { readAgentProperties } from "./agent-properties.ts";
import { checkAgent } from "./check-agent.ts";
import type { Report } from "./check-component.ts";
import { orderProblems, type Problem } from "./problem.ts";
import { type Property, readPropertyFiles } from "./read-property-files.ts";
import { createRegistryIndex } from "./registry-index.ts";

export interface ConfigurationRequest {
  /** Property files; where a key is in several, the later file wins. */
  readonly files: readonly string[];
  readonly agent: string;
  readonly registry: readonly RegistryEntry[];
  /** `strict`: any error keeps the agent from starting. `lenient`: broken parts are left out. */
  readonly mode: "strict" | "lenient";
  /** Folders whose plugins are known by their types, like the registry's. */
  readonly pluginFolders?: readonly string[];
  /** -D words, for `${sys:...}` and what is set for all components at once. */
  readonly defines?: ReadonlyMap<string, string>;
  /** For `${env:...}`; the process's own when not given. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The machine's when not given. */
  readonly runtime?: Runtime;
}

/**
 * Reads an agent's configuration and checks all of it: nothing is opened, listened on or written.
 * Never throws for what an operator wrote; the result has every problem at once.
 */
export async function loadConfiguration(
  request: ConfigurationRequest,
): Promise<LoadedConfiguration> {
  const { files, agent, registry, mode, runtime = systemRuntime } = request;
  const read = await readPropertyFiles(runtime.files, files);
  const problems: Problem[] = [...read.problems];
  const report: Report = (severity, { file, line, column }, property, message) => {
    problems.push({ severity, file, line, column, property, message });
  };
  const { properties, referenced } = substituteAll(read.properties, request, report);
  const given = readAgentProperties(properties, agent, referenced);
  // A file that could not be read explains by itself why the agent is not there.
  const unread = read.problems.some(({ severity, line }) => severity === "error" && line === 0);
  problems.push(...given.problems.filter(({ file }) => file !== "" || !unread));
  const folders = await readPluginFolders(runtime.files, request.pluginFolders ?? [], registry);
  for (const { severity, message } of folders.problems) {
    report(severity, { file: "", line: 0, column: 0 }, "", message);
  }
  const { configuration, dropped } = await checkAgent(given, {
    index: createRegistryIndex([...registry, ...folders.entries]),
    plugins: createPluginLoader(runtime.files, pluginDirectories(request)),
    runtime,
    report,
    systemProperties: request.defines ?? new Map<string, string>(),
    generation: generationOf(read.contents),
  });
  const runnable = canRun(configuration);
  if (!runnable && !problems.some(({ severity }) => severity === "error")) {
    const place = { file: files[0] ?? "", line: 0, column: 0 };
    report("error", place, agent, "has nothing to run: it needs a channel, and a source or a sink");
  }
  const failed = problems.some(({ severity }) => severity === "error");
  return {
    configuration,
    dropped,
    problems: orderProblems(problems, files),
    startable: runnable && (mode === "lenient" || !failed),
  };
}

/** Where packages that a type names may be installed, beside where the configuration file is. */
function pluginDirectories({ pluginFolders = [] }: ConfigurationRequest): string[] {
  return [...pluginFolders.map((folder) => resolve(folder)), process.cwd(), import.meta.dirname];
}

function canRun({ channels, sources, sinks }: AgentConfiguration): boolean {
  return channels.size > 0 && sources.size + sinks.size > 0;
}

function substituteAll(
  raw: ReadonlyMap<string, Property>,
  { agent, defines = new Map(), env = process.env }: ConfigurationRequest,
  report: Report,
): { properties: ReadonlyMap<string, Property>; referenced: ReadonlySet<string> } {
  const values = new Map([...raw].map(([key, { value }]) => [key, value]));
  const substitution = createSubstitution({ env, defines, properties: values });
  const properties = new Map<string, Property>();
  for (const [key, property] of raw) {
    const own = key.startsWith(`${agent}.`);
    const { value, unresolved, problem } = substitution.resolve(key);
    properties.set(key, { ...property, value: value.trim() });
    if (!own) continue;
    if (problem !== undefined) report("error", property, key, problem);
    for (const reference of new Set(unresolved)) {
      report("warning", property, key, `${reference} is not defined and stays as it is written`);
    }
  }
  return { properties, referenced: substitution.referenced };
}
