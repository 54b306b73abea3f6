import { type FileSystem, readWholeFile, type RegistryEntry } from "@millrace/core";
import { basename, join, resolve } from "node:path";
import type { FoundDefinition } from "./find-definitions.ts";
import { loadFile, loadPackage, type ModuleExports } from "./load-plugin.ts";

export interface PluginFolders {
  /** Every definition in them, as the registry has those that ship with the agent. */
  readonly entries: readonly RegistryEntry[];
  readonly problems: readonly PluginProblem[];
}

/** What could not be used; a note where that is no one's mistake. */
export interface PluginProblem {
  readonly severity: "warning" | "note";
  readonly message: string;
}

/**
 * Reads folders of plugins, as Flume's `plugins.d` is one: each module file and each folder with a
 * `package.json` is loaded, and what it defines is known by its type and aliases, like any other
 * component. What is in the registry already stays as it is.
 *
 *     plugins.d/
 *       acme/package.json      a package, with its own node_modules
 *       my-sink.js             a module
 *       legacy/lib/*.jar       Java's: said, and left out
 */
export async function readPluginFolders(
  files: FileSystem,
  folders: readonly string[],
  registry: readonly RegistryEntry[],
): Promise<PluginFolders> {
  const entries: RegistryEntry[] = [];
  const problems: PluginProblem[] = [];
  const warn = (message: string): void => void problems.push({ severity: "warning", message });
  const taken = new Set(registry.flatMap(namesOf));
  const add = (where: string, found: readonly FoundDefinition[]): void => {
    if (found.length === 0) warn(`${where} exports nothing made by a define function`);
    for (const { definition } of found) {
      const { kind, type, aliases, summary } = definition;
      const entry = { kind, type, aliases, summary, load: () => Promise.resolve(definition) };
      const known = namesOf(entry).find((name) => taken.has(name));
      if (known === undefined) {
        entries.push(entry);
        for (const name of namesOf(entry)) taken.add(name);
      } else {
        warn(`${where}: ${known} is there already, so this one is left out`);
      }
    }
  };
  for (const folder of folders) {
    const listed = await files.readDirectory(folder).catch((error: Error) => error);
    if (listed instanceof Error) {
      warn(`the plugin folder ${folder} cannot be read: ${listed.message}`);
      continue;
    }
    for (const name of listed.map((entry) => entry.name).sort()) {
      const where = resolve(folder, name);
      const loaded = await loadEntry(files, where);
      if (loaded === "java") problems.push({ severity: "note", message: `${where} ${javaPlugin}` });
      else if (loaded !== "other" && "problem" in loaded) warn(loaded.problem);
      else if (loaded !== "other") add(where, loaded.found);
    }
  }
  return { entries, problems };
}

const javaPlugin = "holds a Java plugin, which is not loaded; docs/plugins.md shows a port";

async function loadEntry(
  files: FileSystem,
  where: string,
): Promise<ModuleExports | "java" | "other"> {
  const name = basename(where);
  if (name === "node_modules" || name.startsWith(".")) return "other";
  if (/\.[cm]?js$/.test(name)) return loadFile(files, where);
  const isThere = (path: string): Promise<boolean> =>
    files.stat(path).then(
      () => true,
      () => false,
    );
  if (await isThere(join(where, "package.json"))) return loadPackageFolder(files, where);
  return (await isThere(join(where, "lib"))) ? "java" : "other";
}

/** A package is asked for by its own name where its manifest has exports, else by its main file. */
async function loadPackageFolder(files: FileSystem, folder: string): Promise<ModuleExports> {
  let manifest: { name?: unknown; main?: unknown; exports?: unknown };
  try {
    const text = await readWholeFile(files, join(folder, "package.json"));
    manifest = JSON.parse(text.toString()) as typeof manifest;
  } catch (error) {
    return { problem: `${folder}/package.json cannot be read: ${(error as Error).message}` };
  }
  const { name, main, exports } = manifest;
  if (typeof name === "string" && exports !== undefined) return loadPackage(name, [folder]);
  return loadFile(files, resolve(folder, typeof main === "string" ? main : "index.js"));
}

function namesOf({
  kind,
  type,
  aliases,
}: Pick<RegistryEntry, "kind" | "type" | "aliases">): string[] {
  return [type, ...aliases].map((name) => `${kind} ${name.toLowerCase()}`);
}
