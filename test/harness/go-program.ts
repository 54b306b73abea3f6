import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import type { TestContext } from "node:test";

/** A program that tests need, and that is built from its Go module where it is not installed. */
export interface GoProgram {
  /** Of its file: "consul". */
  readonly name: string;
  /** Names a binary that is to be used instead: "MILLRACE_CONSUL". */
  readonly variable: string;
  /** The module's version that is built: one that the module proxy has whole. */
  readonly version: string;
  /** The oldest Go that builds it, as major and minor. */
  readonly goNeeded: readonly [number, number];
  /**
   * A module of our own that requires it, as a module with replace or exclude directives cannot be
   * installed by name; behind the line `module`, which is added.
   */
  readonly goModule: string;
  /** The package that is the program. */
  readonly packagePath: string;
  /** Go's build tags. */
  readonly tags?: string;
  /** Variables of packages that are set as it is linked: its version, say. */
  readonly variables?: Readonly<Record<string, string>>;
}

const buildDeadlineMs = 45 * 60_000;

/**
 * What the variable names, what is on PATH, or what `buildGoProgram` has put into
 *
 *     $XDG_CACHE_HOME/millrace-test/consul-1.22.3/consul
 */
export function installedGoProgram(program: GoProgram): string | undefined {
  const given = process.env[program.variable];
  if (given !== undefined && given !== "") return given;
  const cached = join(programFolder(program), program.name);
  return onPath(program.name) ?? (existsSync(cached) ? cached : undefined);
}

/** For a test: the binary, or undefined when the test is marked as skipped; fails where all must run. */
export function findGoProgram(context: TestContext, program: GoProgram): string | undefined {
  const binary = installedGoProgram(program);
  if (binary !== undefined) return binary;
  const why = whyNot(program) ?? "it is not built; the suite's own npm script builds it";
  const reason = `not tested with a real ${program.name}: ${why}`;
  if (mustRun()) throw new Error(reason);
  context.skip(reason);
  return undefined;
}

/** With CI=true or MILLRACE_REQUIRE=1 what cannot be tested is a failure, not a skip. */
export function mustRun(): boolean {
  return process.env["CI"] === "true" || process.env["MILLRACE_REQUIRE"] === "1";
}

/** Run before a suite: building may take longer than a test may. Skipping is no failure here. */
export async function preparePrograms(programs: readonly GoProgram[]): Promise<void> {
  for (const program of programs) {
    const there = installedGoProgram(program);
    if (there !== undefined) {
      console.log(`testing with ${there}`);
      continue;
    }
    const reason = await buildGoProgram(program);
    if (reason === undefined) continue;
    console.log(`not tested with a real ${program.name}: ${reason}`);
    if (mustRun()) process.exitCode = 1;
  }
}

/** Builds the pinned version, which takes minutes the first time. Returns why there is none, or undefined. */
async function buildGoProgram(program: GoProgram): Promise<string | undefined> {
  const { name, version, goNeeded, goModule, packagePath, tags = "", variables = {} } = program;
  const reason = whyNot(program);
  if (reason !== undefined) return reason;
  console.log(`building ${name} ${version} from its Go module: this takes minutes, once`);
  const folder = programFolder(program);
  await mkdir(cacheFolder(), { recursive: true });
  const fresh = await mkdtemp(`${folder}-`);
  try {
    const head = `module millrace.test/${name}\n\ngo ${goNeeded.join(".")}\n`;
    await writeFile(join(fresh, "go.mod"), `${head}\n${goModule}\n`);
    const given = Object.entries(variables).map(([key, value]) => `-X ${key}=${value}`);
    const flags = `-ldflags=${["-s", "-w", ...given].join(" ")}`;
    const build = ["go", "build", "-mod=mod", "-trimpath", flags, "-tags", tags];
    const { status, signal, error } = spawnSync("nice", [...build, "-o", name, packagePath], {
      cwd: fresh,
      stdio: ["ignore", "inherit", "inherit"],
      timeout: buildDeadlineMs,
    });
    if (status !== 0) {
      return `go build of ${name} ${version} ended with ${error?.message ?? signal ?? status}`;
    }
    await rm(folder, { recursive: true, force: true });
    await rename(fresh, folder);
    return undefined;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

/** Why it cannot be built on this machine. */
function whyNot({ name, goNeeded }: GoProgram): string | undefined {
  const { status, stdout } = spawnSync("go", ["env", "GOVERSION"], { encoding: "utf8" });
  if (status !== 0) return `no ${name} and no go on PATH`;
  const [, major = 0, minor = 0] = (/^go(\d+)\.(\d+)/.exec(stdout) ?? []).map(Number);
  const isOld = major < goNeeded[0] || (major === goNeeded[0] && minor < goNeeded[1]);
  return isOld ? `no ${name} on PATH, and ${stdout.trim()} is older than it needs` : undefined;
}

function programFolder({ name, version }: GoProgram): string {
  return join(cacheFolder(), `${name}-${version}`);
}

function cacheFolder(): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "millrace-test");
}

function onPath(program: string): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}
