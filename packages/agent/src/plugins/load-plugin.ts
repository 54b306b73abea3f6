import type { ComponentKind, Definition, FileSystem } from "@millrace/core";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { chooseDefinition, findDefinitions, type FoundDefinition } from "./find-definitions.ts";
import { importFile, importPackage } from "./module-hooks.ts";
import type { PluginReference } from "./plugin-reference.ts";

export interface PluginLoader {
  /**
   * The definition of this kind that the reference names, seen from a directory. Never throws for
   * what an operator or a plugin's author wrote: the problem says what is wrong.
   */
  load<K extends ComponentKind>(
    kind: K,
    reference: PluginReference,
    directory: string,
  ): Promise<{ readonly definition: Definition<K> } | { readonly problem: string }>;
}

/** What a module has of ours, or why that cannot be told. */
export type ModuleExports =
  { readonly found: readonly FoundDefinition[] } | { readonly problem: string };

/**
 * Loads modules that are named in a configuration. Their code runs, in `check` too. A module is
 * loaded once in the life of the process. Packages are looked for from the directory of the
 * configuration file, then from `directories`.
 */
export function createPluginLoader(
  files: FileSystem,
  directories: readonly string[],
): PluginLoader {
  return {
    async load(kind, { module, isPackage, exportName }, directory) {
      const exports = isPackage
        ? await loadPackage(module, [directory, ...directories])
        : await loadFile(files, pathOf(module, directory));
      if ("problem" in exports) return exports;
      const chosen = chooseDefinition(exports.found, kind, exportName);
      return "problem" in chosen ? { problem: `${module} ${chosen.problem}` } : chosen;
    },
  };
}

function pathOf(module: string, directory: string): string {
  if (!module.startsWith("file:")) return resolve(directory, module);
  return fileURLToPath(new URL(module, pathToFileURL(`${directory}/`)));
}

/** What a file exports, or why it cannot be told. */
export async function loadFile(files: FileSystem, path: string): Promise<ModuleExports> {
  const there = await files.stat(path).then(
    ({ isFile }) => isFile,
    () => false,
  );
  if (!there) return { problem: `no file ${path}` };
  try {
    return { found: findDefinitions(await importFile(path)) };
  } catch (error) {
    const hint = (error as { code?: unknown }).code === "ERR_UNKNOWN_FILE_EXTENSION" ? typed : "";
    return { problem: `${path} cannot be loaded: ${explain(error)}${hint}` };
  }
}

const typed = "; compile it to JavaScript, or run a Node.js that reads TypeScript (22.18 or later)";

/** What a package exports, looked for from these directories. */
export async function loadPackage(
  name: string,
  directories: readonly string[],
): Promise<ModuleExports> {
  try {
    return { found: findDefinitions(await importPackage(name, directories)) };
  } catch (error) {
    const missing = (error as { code?: unknown }).code === "ERR_MODULE_NOT_FOUND";
    const itself = missing && (error as Error).message.includes(`'${name}'`);
    if (!itself) return { problem: `package ${name} cannot be loaded: ${explain(error)}` };
    const where = [...new Set(directories)].join(", ");
    return { problem: `no package ${name} is installed; looked from ${where}` };
  }
}

/** The error with its causes, and the place in the module where there is one. */
function explain(thrown: unknown): string {
  const parts: string[] = [];
  for (let error = thrown; parts.length < 5;) {
    if (!(error instanceof Error)) {
      parts.push(String(error));
      break;
    }
    parts.push(`${error.name}: ${error.message}`);
    if (error.cause === undefined) break;
    error = error.cause;
  }
  const stack = thrown instanceof Error ? (thrown.stack ?? "") : "";
  const place = /file:\/\/[^\s()]+:\d+(:\d+)?/.exec(stack)?.[0];
  const own =
    place === undefined || place.includes("/node_modules/@millrace/") ? "" : ` (${place})`;
  return parts.join("; because of ") + own;
}
