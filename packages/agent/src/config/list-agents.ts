import { type FileSystem, systemRuntime } from "@millrace/core";
import { agentsIn } from "./agent-properties.ts";
import type { Problem } from "./problem.ts";
import { readPropertyFiles } from "./read-property-files.ts";

/** The agents that a file lists components for, in its order, and what kept it from being read. */
export async function listAgents(
  file: string,
  files: FileSystem = systemRuntime.files,
): Promise<{ readonly agents: readonly string[]; readonly problems: readonly Problem[] }> {
  const { properties, problems } = await readPropertyFiles(files, [file]);
  return { agents: agentsIn(properties), problems };
}
