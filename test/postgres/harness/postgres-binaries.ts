import { spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { delimiter, join } from "node:path";

const debianFolder = "/usr/lib/postgresql";

/**
 * The folder that holds `postgres` and `initdb`: MILLRACE_POSTGRES, one on PATH, or where Debian's
 * package postgresql puts them, the newest version first.
 */
export function installedPostgres(): string | undefined {
  const given = process.env["MILLRACE_POSTGRES"];
  const debian = existsSync(debianFolder)
    ? readdirSync(debianFolder)
        .sort((a, b) => Number(b) - Number(a))
        .map((version) => join(debianFolder, version, "bin"))
    : [];
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), ...debian];
  return (given !== undefined && given !== "" ? [given] : folders).find((folder) =>
    ["postgres", "initdb"].every((program) => existsSync(join(folder, program))),
  );
}

/** For a file of tests: whether they run. Fails where all must run. */
export function findPostgres(): { readonly folder: string } | { readonly skip: string } {
  const folder = installedPostgres();
  if (folder !== undefined) return { folder };
  const skip =
    "a real PostgreSQL is not tested: no postgres and initdb on PATH or in MILLRACE_POSTGRES (Debian: apt-get install postgresql)";
  if (process.env["CI"] === "true" || process.env["MILLRACE_REQUIRE"] === "1")
    throw new Error(skip);
  return { skip };
}

/** PostgreSQL refuses to run as root: then it runs as this user. */
export function serverUser(): number | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of ["postgres", "nobody"]) {
    const { status, stdout } = spawnSync("id", ["-u", name], { encoding: "utf8" });
    if (status === 0) return Number(stdout);
  }
  throw new Error("no user postgres or nobody to run PostgreSQL as");
}
