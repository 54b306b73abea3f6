// Assembles what the image holds beside its base: `node scripts/image/assemble.mjs <folder>`, after
// `npm ci` and `npm run build`. The Dockerfile runs this, and so does test/e2e/image.test.ts, which
// starts an agent in what it makes. Plain JavaScript on Node alone.
//
//     <folder>/app/                              packages/*/{bin,dist,package.json}, node_modules
//     <folder>/usr/local/bin/{millrace,flume-ng} -> ../../../app/packages/cli/bin/*.js
//     <folder>/usr/share/sbom/millrace.cdx.json  what is in it, as CycloneDX
//     <folder>/usr/share/licenses/millrace/LICENSE
//     <folder>/etc/millrace/                     configurations are mounted here
//     <folder>/var/lib/millrace/                 state
//     <folder>/run/millrace/                     the admin socket
//
// What it takes is computed from package-lock.json: what @millrace/cli needs, without what is for
// development and without what is optional (better-sqlite3 compiles, and Node 24 has node:sqlite).
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
} from "node:fs";
import { rmSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { createSbom } from "./sbom.mjs";

const project = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const entry = "node_modules/@millrace/cli";

/** Folders at the top of an installed package that its running code never reads. */
const wasteFolders =
  /^(\.github|\.idea|\.vscode|__tests__|bench|benchmark|benchmarks|coverage|doc|docs|example|examples|man|scripts|test|tests|umd)$/;
/** Wherever they are; licences stay. */
const wasteFiles =
  /(\.(d\.[cm]?ts|[cm]?ts|tsx|map|md|markdown|flow|tsbuildinfo|test\.[cm]?js)|\/(\.[a-z][a-z.]*|changelog[^/]*|history[^/]*|makefile|bower\.json|gruntfile\.js|karma\.conf\.js|tsconfig[^/]*\.json))$/i;
const licences = /\/(licen[cs]e|notice|copying|copyright)[^/]*$/i;

if (process.argv[2] === undefined || process.argv.length > 3) {
  console.error("usage: node scripts/image/assemble.mjs <folder, which is emptied>");
  process.exit(1);
}
assemble(resolve(process.argv[2]));

function assemble(folder) {
  const app = join(folder, "app");
  rmSync(folder, { recursive: true, force: true });
  for (const path of ["etc/millrace", "var/lib/millrace", "run/millrace", "usr/local/bin"]) {
    mkdirSync(join(folder, path), { recursive: true });
  }
  const lock = JSON.parse(readFileSync(join(project, "package-lock.json"), "utf8"));
  const needed = neededPackages(lock);

  for (const path of needed) {
    const target = join(app, path);
    if (lock.packages[path].link === true) {
      mkdirSync(dirname(target), { recursive: true });
      symlinkSync(relative(dirname(target), join(app, lock.packages[path].resolved)), target);
    } else if (path.startsWith("packages/")) {
      copyOurs(join(project, path), target);
    } else {
      copyInstalled(join(project, path), target);
    }
  }
  writeFileSync(join(app, "package.json"), rootManifest());

  for (const name of ["millrace", "flume-ng"]) {
    symlinkSync(`../../../app/packages/cli/bin/${name}.js`, join(folder, "usr/local/bin", name));
  }
  mkdirSync(join(folder, "usr/share/licenses/millrace"), { recursive: true });
  cpSync(join(project, "LICENSE"), join(folder, "usr/share/licenses/millrace/LICENSE"));
  mkdirSync(join(folder, "usr/share/sbom"), { recursive: true });
  writeFileSync(join(folder, "usr/share/sbom/millrace.cdx.json"), createSbom(app, lock, needed));

  const installed = needed.filter((path) => path.startsWith("node_modules/"));
  const { files, bytes } = openToAll(folder);
  console.log(
    `${folder}: ${installed.filter((path) => lock.packages[path].link !== true).length} packages and ` +
      `${needed.length - installed.length} of ours, ${files} files, ${(bytes / 1e6).toFixed(1)} MB`,
  );
}

/** The lock file's keys of all that @millrace/cli needs to run, found as Node finds them. */
function neededPackages(lock) {
  const needed = new Set();
  const waiting = [entry];
  while (waiting.length > 0) {
    const path = waiting.pop();
    if (needed.has(path)) continue;
    needed.add(path);
    const found = lock.packages[path];
    if (found.link === true) {
      waiting.push(found.resolved);
      continue;
    }
    const optional = found.optionalDependencies ?? {};
    for (const name of Object.keys(found.dependencies ?? {}).filter(
      (each) => !(each in optional),
    )) {
      waiting.push(resolvePackage(lock, path, name));
    }
    // npm installs a peer that is not optional; it is there if anyone may import it.
    for (const name of Object.keys(found.peerDependencies ?? {})) {
      if (found.peerDependenciesMeta?.[name]?.optional === true) continue;
      waiting.push(resolvePackage(lock, path, name));
    }
  }
  return [...needed].sort();
}

function resolvePackage(lock, from, name) {
  for (let folder = from; ; folder = folder === "." ? "" : dirname(folder)) {
    if (basename(folder) === "node_modules") continue;
    const path =
      folder === "" || folder === "." ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
    if (path in lock.packages) return path;
    if (folder === "" || folder === ".") break;
  }
  throw new Error(`package-lock.json has no ${name}, which ${from} needs: run npm install`);
}

/** What is built, and what starts it. */
function copyOurs(from, to) {
  mkdirSync(to, { recursive: true });
  const manifest = JSON.parse(readFileSync(join(from, "package.json"), "utf8"));
  cpSync(join(from, "dist"), join(to, "dist"), {
    recursive: true,
    filter: (path) => !wasteFiles.test(path) && hasSource(join(from, "dist"), path),
  });
  if (manifest.bin !== undefined) cpSync(join(from, "bin"), join(to, "bin"), { recursive: true });
  // A tool that looks at the image may read these; development dependencies are not there.
  delete manifest.devDependencies;
  delete manifest.optionalDependencies;
  writeFileSync(join(to, "package.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
}

/** A build leaves there what was built of files that are gone since. */
function hasSource(dist, path) {
  const source = join(dirname(dist), "src", relative(dist, path));
  return existsSync(lstatSync(path).isDirectory() ? source : source.replace(/\.js$/, ".ts"));
}

/** An installed package without what is nested in it: that is a package of its own. */
function copyInstalled(from, to) {
  cpSync(from, to, {
    recursive: true,
    filter: (path) => {
      if (licences.test(path) && path !== from) return true;
      const inner = relative(from, path);
      if (inner === "") return true;
      if (inner === "node_modules" || wasteFolders.test(inner)) return false;
      return !wasteFiles.test(path) || lstatSync(path).isDirectory();
    },
  });
}

function rootManifest() {
  const { name, version, license, type, description } = JSON.parse(
    readFileSync(join(project, "package.json"), "utf8"),
  );
  const manifest = { name, version, private: true, description, license, type };
  return `${JSON.stringify({ ...manifest, workspaces: ["packages/*"] }, undefined, 2)}\n`;
}

/** Read by every user, whatever the umask of the checkout, and written by none but its owner. */
function openToAll(folder) {
  let [files, bytes] = [0, 0];
  chmodSync(folder, 0o755);
  for (const name of readdirSync(folder, { recursive: true })) {
    const path = join(folder, name);
    const found = lstatSync(path);
    if (found.isDirectory()) chmodSync(path, 0o755);
    if (!found.isFile()) continue;
    chmodSync(path, (found.mode & 0o100) === 0 ? 0o644 : 0o755);
    files++;
    bytes += found.size;
  }
  return { files, bytes };
}
