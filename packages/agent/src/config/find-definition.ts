import type { ComponentKind, Definition } from "@millrace/core";
import { dirname, resolve } from "node:path";
import { type PluginLoader } from "../plugins/load-plugin.ts";
import { parsePluginReference } from "../plugins/plugin-reference.ts";
import type { Place } from "./problem.ts";
import type { RegistryIndex } from "./registry-index.ts";

/** Where a type that a configuration names is looked for. */
export interface KnownDefinitions {
  readonly index: RegistryIndex;
  readonly plugins: PluginLoader;
}

/**
 * The definition that a type means: one that the agent has by that name, or what a module named
 * by its path or package exports. A path is relative to the file that says so.
 */
export async function findDefinition<K extends ComponentKind>(
  kind: K,
  type: string,
  { file }: Pick<Place, "file">,
  { index, plugins }: KnownDefinitions,
): Promise<{ readonly definition: Definition<K> } | { readonly problem: string }> {
  const reference = parsePluginReference(type);
  if (reference !== undefined) return plugins.load(kind, reference, resolve(dirname(file)));
  const entry = index.find(kind, type);
  if (entry === undefined) return { problem: index.unknownType(kind, type) };
  return { definition: await index.load(kind, entry) };
}
