import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

/** The folder that holds packages/. */
export const projectRoot = findRoot(dirname(fileURLToPath(import.meta.url)));

/**
 * The words that start a program of this project: from source through tsx, or with MILLRACE_DIST=1
 * what `npm run build` made. `program` is its path below packages/, such as `cli/main`.
 */
export function programCommand(program: string): readonly string[] {
  const [packageName = "", ...rest] = program.split("/");
  const path = (folder: string, extension: string): string =>
    join(projectRoot, "packages", packageName, folder, ...rest) + extension;
  return runsBuilt()
    ? [process.execPath, path("dist", ".js")]
    : [...fromSource(), path("src", ".ts")];
}

/** The words that start `flume-ng`; from source, what its file in `bin` does with the build. */
export function flumeNgCommand(): readonly string[] {
  const cli = join(projectRoot, "packages", "cli");
  if (runsBuilt()) return [process.execPath, join(cli, "bin", "flume-ng.js")];
  const script = `
    import { runProgram } from ${JSON.stringify(pathToFileURL(join(cli, "src", "index.ts")).href)};
    await runProgram("flume-ng", process.argv.slice(1));`;
  return [...fromSource(), "--input-type=module", "--eval", script, "--"];
}

const runsBuilt = (): boolean => process.env["MILLRACE_DIST"] === "1";

function fromSource(): readonly string[] {
  const tsx = import.meta.resolve("tsx");
  return [process.execPath, "--conditions=millrace-source", `--import=${tsx}`];
}

function findRoot(from: string): string {
  if (existsSync(join(from, "packages", "core"))) return from;
  const parent = dirname(from);
  if (parent === from) throw new Error("not inside the project");
  return findRoot(parent);
}
