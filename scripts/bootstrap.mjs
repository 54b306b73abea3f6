// `npm start`, `npm test` and `npm run bench` on a fresh checkout: installs what is missing, builds,
// then runs. Plain JavaScript on Node alone, as nothing is installed when it begins.
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const [task, ...args] = process.argv.slice(2);

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`Millrace needs Node 20.19 or later; this is ${process.version}.`);
  process.exit(1);
}

const installMs = installIsStale() ? timed("npm", ["ci", "--no-audit", "--no-fund"]) : 0;
const buildMs = timed(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-b"]);
process.env.MILLRACE_FIRST_RUN =
  installMs > 0 ? `first run: installed ${seconds(installMs)}, built ${seconds(buildMs)}` : "";

switch (task) {
  case "start":
    run(process.execPath, [join(root, "packages/cli/dist/quickstart/main.js"), ...args]);
    break;
  case "test":
    run(process.execPath, [join(root, "scripts/run-tests.mjs"), "unit", "e2e", ...args]);
    break;
  case "bench":
    run(process.execPath, ["--import=tsx", ...benchWords(args)]);
    break;
  case "compose-local":
    run(process.execPath, ["--import=tsx", join(root, "scripts/compose-local.ts"), ...args]);
    break;
  default:
    console.error(`unknown task "${task}": start, test, bench or compose-local`);
    process.exit(1);
}

/** `group-commit`, `deep-drain` and `backlog` are benches of their own; without a name it is the table. */
function benchWords([first, ...rest]) {
  const own = ["group-commit", "deep-drain", "backlog"].includes(first);
  const words = own ? rest : first === undefined ? [] : [first, ...rest];
  return [join(root, `test/bench/${own ? first : "main"}.ts`), ...words];
}

/** node_modules is missing, or the lock file changed after it was installed. */
function installIsStale() {
  const installed = join(root, "node_modules/.package-lock.json");
  if (!existsSync(installed)) return true;
  return statSync(join(root, "package-lock.json")).mtimeMs > statSync(installed).mtimeMs;
}

function timed(command, commandArgs) {
  const began = performance.now();
  const { status, error } = spawnSync(command, commandArgs, {
    cwd: root,
    stdio: ["ignore", "inherit", "inherit"],
    shell: process.platform === "win32",
  });
  if (error !== undefined || status !== 0) {
    console.error(`${command} ${commandArgs.join(" ")} failed${error ? `: ${error.message}` : ""}`);
    process.exit(status ?? 1);
  }
  return performance.now() - began;
}

/** Hands the terminal over; signals reach the child through the process group. */
function run(command, commandArgs) {
  for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => {});
  const { status, signal } = spawnSync(command, commandArgs, { stdio: "inherit" });
  process.exit(status ?? (signal === null ? 1 : 130));
}

function seconds(ms) {
  return `${Math.max(1, Math.round(ms / 1000))} s`;
}
