import type { Definition } from "@millrace/core";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** The packages that hold components: what ships with the agent, then one per outside world. */
export const componentPackages = ["components", "jdbc", "kafka", "kubernetes"] as const;

export interface FoundComponent {
  /** Of `componentPackages`. */
  readonly package: string;
  /** From the root: "packages/components/src/sources/avro". */
  readonly folder: string;
  /** The name of the folder's one export: "source". */
  readonly exportName: string;
  readonly definition: Definition;
}

/** The folders that hold components, in the order the docs list them. */
export const kindFolders = [
  "sources",
  "channels",
  "sinks",
  "sink-processors",
  "sink-selectors",
  "selectors",
  "interceptors",
  "serializers",
  "deserializers",
] as const;

/** Every component that ships with the agent: the one value each folder exports. */
export async function readComponents(root: string): Promise<FoundComponent[]> {
  const found: FoundComponent[] = [];
  const parents = kindFolders.flatMap((kindFolder) =>
    componentPackages.map((name) => ({ name, parent: `packages/${name}/src/${kindFolder}` })),
  );
  for (const { name: packageName, parent } of parents) {
    for (const name of await folderNames(join(root, parent))) {
      const folder = `${parent}/${name}`;
      const module = (await import(pathToFileURL(join(root, folder, "index.ts")).href)) as Record<
        string,
        Definition
      >;
      const exported = Object.entries(module);
      const [first] = exported;
      if (first === undefined || exported.length !== 1) {
        throw new Error(`${folder}/index.ts exports ${exported.length} values; one is the rule`);
      }
      found.push({ package: packageName, folder, exportName: first[0], definition: first[1] });
    }
  }
  return found;
}

async function folderNames(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
    .sort();
}
