// `npm run new -- sink my-sink`: the folder of a component that starts, stops and passes its test.
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { generateAll, root } from "./generate/all.ts";
import { componentFiles, newKinds } from "./new/templates.ts";

const [kind, name, ...rest] = process.argv.slice(2);
if (kind === undefined || name === undefined || rest.length > 0) {
  fail(`usage: npm run new -- <${Object.keys(newKinds).join("|")}> <name>`);
}
if (!(kind in newKinds)) fail(`unknown kind "${kind}": one of ${Object.keys(newKinds).join(", ")}`);
if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(name)) {
  fail(`"${name}" is no folder name: lower case words joined by "-"`);
}
const folder = `packages/components/src/${newKinds[kind as keyof typeof newKinds]}/${name}`;
if (existsSync(join(root, folder))) fail(`${folder} exists`);
await mkdir(join(root, folder), { recursive: true });
for (const [file, content] of componentFiles(kind as keyof typeof newKinds, name)) {
  await writeFile(join(root, folder, file), content);
}
for (const [path, content] of await generateAll()) await writeFile(join(root, path), content);
console.log(`${folder} is there; next: options.ts, then ${name}.ts and its test`);

function fail(message: string): never {
  console.error(message);
  process.exit(1);
}
