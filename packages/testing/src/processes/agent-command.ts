import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

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
  if (process.env["MILLRACE_DIST"] === "1") return [process.execPath, path("dist", ".js")];
  return [
    process.execPath,
    "--conditions=millrace-source",
    `--import=${import.meta.resolve("tsx")}`,
    path("src", ".ts"),
  ];
}

function findRoot(from: string): string {
  if (existsSync(join(from, "packages", "core"))) return from;
  const parent = dirname(from);
  if (parent === from) throw new Error("not inside the project");
  return findRoot(parent);
}
