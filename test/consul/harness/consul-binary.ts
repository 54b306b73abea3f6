import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";
import type { TestContext } from "node:test";

/** The module's version that is built: one that the module proxy has whole, and Go 1.26 builds. */
export const consulVersion = "1.22.3";
const goNeeded = [1, 25] as const;
const buildDeadlineMs = 45 * 60_000;

/**
 * A real Consul: MILLRACE_CONSUL, `consul` on PATH, or what `buildConsul` has put into
 *
 *     $XDG_CACHE_HOME/millrace-test/consul-1.22.3/consul
 */
export function installedConsul(): string | undefined {
  const given = process.env["MILLRACE_CONSUL"];
  if (given !== undefined && given !== "") return given;
  return onPath("consul") ?? (existsSync(cachedConsul()) ? cachedConsul() : undefined);
}

/** For a test: the binary, or undefined when the test is marked as skipped; fails where all must run. */
export function findConsul(context: TestContext): string | undefined {
  const binary = installedConsul();
  if (binary !== undefined) return binary;
  const reason = `a real Consul is not tested: ${whyNot() ?? "it is not built; npm run test:consul builds it"}`;
  if (mustRun()) throw new Error(reason);
  context.skip(reason);
  return undefined;
}

/** With CI=true or MILLRACE_REQUIRE=1 what cannot be tested is a failure, not a skip. */
export function mustRun(): boolean {
  return process.env["CI"] === "true" || process.env["MILLRACE_REQUIRE"] === "1";
}

/**
 * Builds the pinned version from its Go module, which takes minutes the first time. A module of
 * our own requires it, as it cannot be installed by name: it has replace directives. Returns why
 * there is none, or undefined.
 */
export async function buildConsul(): Promise<string | undefined> {
  const reason = whyNot();
  if (reason !== undefined) return reason;
  console.log(`building Consul ${consulVersion} from its Go module: this takes minutes, once`);
  const folder = join(cacheFolder(), `consul-${consulVersion}`);
  await mkdir(cacheFolder(), { recursive: true });
  const fresh = await mkdtemp(`${folder}-`);
  try {
    await writeFile(join(fresh, "go.mod"), goModule);
    const build = ["go", "build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-o", "consul"];
    const { status, signal, error } = spawnSync("nice", [...build, "github.com/hashicorp/consul"], {
      cwd: fresh,
      stdio: ["ignore", "inherit", "inherit"],
      timeout: buildDeadlineMs,
    });
    if (status !== 0) {
      return `go build of Consul ${consulVersion} ended with ${error?.message ?? signal ?? status}`;
    }
    await rm(folder, { recursive: true, force: true });
    await rename(fresh, folder);
    return undefined;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

// Its own go.mod excludes these two, and what a dependency excludes does not count.
const goModule = `module millrace.test/consul

go 1.25.5

require github.com/hashicorp/consul v${consulVersion}

exclude (
	github.com/hashicorp/go-msgpack v1.1.5
	github.com/hashicorp/go-msgpack v1.1.6
)
`;

/** Why it cannot be built on this machine. */
function whyNot(): string | undefined {
  const { status, stdout } = spawnSync("go", ["env", "GOVERSION"], { encoding: "utf8" });
  if (status !== 0) return "no consul and no go on PATH";
  const [, major = 0, minor = 0] = (/^go(\d+)\.(\d+)/.exec(stdout) ?? []).map(Number);
  const isOld = major < goNeeded[0] || (major === goNeeded[0] && minor < goNeeded[1]);
  return isOld ? `no consul on PATH, and ${stdout.trim()} is older than it needs` : undefined;
}

function cachedConsul(): string {
  return join(cacheFolder(), `consul-${consulVersion}`, "consul");
}

function cacheFolder(): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "millrace-test");
}

function onPath(program: string): string | undefined {
  const folders = (process.env["PATH"] ?? "").split(delimiter);
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}
