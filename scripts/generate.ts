// `npm run generate` writes every generated file; `npm run generate -- --check` says which are stale.
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { generateAll, root, staleFiles } from "./generate/all.ts";

if (process.argv.includes("--check")) {
  const stale = await staleFiles();
  for (const path of stale) console.error(`stale: ${path} (npm run generate)`);
  process.exit(stale.length > 0 ? 1 : 0);
}
const files = await generateAll();
for (const [path, content] of files) await writeFile(join(root, path), content);
console.log(`${files.size} files are fresh`);
