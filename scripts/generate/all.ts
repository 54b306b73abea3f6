import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chartFiles } from "./chart.ts";
import { componentPackages, readComponents } from "./components.ts";
import { componentIndex } from "./component-index.ts";
import { errorPage } from "./error-page.ts";
import { lossPage } from "./loss-page.ts";
import { metricsPage } from "./metrics-page.ts";
import { fillOptionTable } from "./option-table.ts";
import { registrySource } from "./registry-source.ts";

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Every generated file, by its path from the root, as it should be. Writes nothing. */
export async function generateAll(): Promise<Map<string, string>> {
  const components = await readComponents(root);
  const files = new Map<string, string>();
  for (const name of componentPackages) {
    files.set(`packages/${name}/src/registry.ts`, await registrySource(name, components));
  }
  files.set("docs/components.md", componentIndex(components));
  files.set("ERRORS.md", errorPage());
  files.set("docs/what-is-lost.md", await lossPage(root));
  files.set("docs/metrics.md", await metricsPage(root));
  for (const [path, content] of await chartFiles(root)) files.set(path, content);
  for (const component of components) {
    const path = `${component.folder}/README.md`;
    files.set(path, fillOptionTable(await readFile(join(root, path), "utf8"), component, path));
  }
  return files;
}

/** The generated files whose content on disk is not what the generator would write. */
export async function staleFiles(): Promise<string[]> {
  const stale: string[] = [];
  for (const [path, content] of await generateAll()) {
    const found = await readFile(join(root, path), "utf8").catch(() => "");
    if (found !== content) stale.push(path);
  }
  return stale;
}
