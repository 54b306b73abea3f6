import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { missingPrograms, mustRun, run } from "./programs.ts";

export type FlumeVersion = "1.11.0" | "1.9.0";
export const flumeVersions: readonly FlumeVersion[] = ["1.11.0", "1.9.0"];

/** Apache Flume on this machine, and our own Java programs compiled against it. */
export interface Flume {
  readonly version: FlumeVersion;
  readonly classPath: string;
}

const javaFolder = join(dirname(dirname(fileURLToPath(import.meta.url))), "java");
const fetchDeadlineMs = 480_000;
const compileDeadlineMs = 120_000;

/**
 * That Flume, fetched by Maven unless it lies whole in the cache:
 *
 *     $XDG_CACHE_HOME/millrace-test/flume-1.11.0/lib/*.jar
 *                                               /complete.json      pom's and each jar's SHA-256
 *                                               /classes-<hash>/    of our own Java programs
 *
 * Undefined when a program or the network is missing: the test is then marked as skipped, with the
 * reason, or fails where everything is required.
 */
export async function findFlume(
  test: TestContext,
  version: FlumeVersion,
): Promise<Flume | undefined> {
  const folder = join(cacheFolder(), `flume-${version}`);
  const pom = await readFile(join(javaFolder, "pom.xml"));
  const whole = await isComplete(folder, version, pom);
  const missing = missingPrograms(["java", "javac", "keytool", ...(whole ? [] : ["mvn" as const])]);
  if (missing.length > 0) {
    return giveUp(test, `Java Flume ${version} is not tested: no ${missing.join(", no ")} on PATH`);
  }
  if (!whole) {
    try {
      await fetchJars(test, folder, version, pom);
    } catch (error) {
      return giveUp(test, `Java Flume ${version} is not tested: ${(error as Error).message}`);
    }
  }
  const jars = join(folder, "lib", "*");
  const classes = await compile(test, folder, jars);
  return { version, classPath: `${classes}:${jars}` };
}

function giveUp(context: TestContext, reason: string): undefined {
  if (mustRun()) throw new Error(reason);
  context.skip(reason);
  return undefined;
}

function cacheFolder(): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "millrace-test");
}

interface Complete {
  readonly pom: string;
  readonly jars: Readonly<Record<string, string>>;
}

/** A fetch that was interrupted, a jar that changed or another pom: fetched again. */
async function isComplete(folder: string, version: string, pom: Buffer): Promise<boolean> {
  try {
    const complete = JSON.parse(await readFile(join(folder, "complete.json"), "utf8")) as Complete;
    if (complete.pom !== digest(pom)) return false;
    const jars = await digestJars(join(folder, "lib"));
    return hasFlume(jars, version) && JSON.stringify(jars) === JSON.stringify(complete.jars);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" || error instanceof SyntaxError) {
      return false;
    }
    throw error;
  }
}

async function fetchJars(
  test: TestContext,
  folder: string,
  version: string,
  pom: Buffer,
): Promise<void> {
  await mkdir(dirname(folder), { recursive: true });
  const fresh = await mkdtemp(`${folder}-`);
  try {
    await writeFile(join(fresh, "pom.xml"), pom);
    const command = [
      ...["mvn", "--batch-mode", "--quiet", "--file", join(fresh, "pom.xml")],
      `-Dflume.version=${version}`,
      "dependency:copy-dependencies",
      "-DincludeScope=runtime",
      `-DoutputDirectory=${join(fresh, "lib")}`,
    ];
    test.diagnostic(`fetching Apache Flume ${version} with Maven`);
    await run(test, command, fetchDeadlineMs);
    const jars = await digestJars(join(fresh, "lib"));
    if (!hasFlume(jars, version)) throw new Error(`Maven gave no Flume ${version}`);
    const complete: Complete = { pom: digest(pom), jars };
    await writeFile(join(fresh, "complete.json"), JSON.stringify(complete, undefined, 1));
    await rm(folder, { recursive: true, force: true });
    await rename(fresh, folder);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

function hasFlume(jars: Readonly<Record<string, string>>, version: string): boolean {
  const names = ["flume-ng-node", "flume-ng-core", "flume-ng-sdk", "flume-file-channel"];
  return names.every((name) => `${name}-${version}.jar` in jars);
}

async function digestJars(lib: string): Promise<Record<string, string>> {
  const names = (await readdir(lib)).sort();
  const digests = names.map(async (name) => [name, digest(await readFile(join(lib, name)))]);
  return Object.fromEntries(await Promise.all(digests)) as Record<string, string>;
}

/** The folder of our compiled programs, made once for each state of their sources. */
async function compile(test: TestContext, folder: string, jars: string): Promise<string> {
  const names = (await readdir(javaFolder)).filter((name) => name.endsWith(".java")).sort();
  const paths = names.map((name) => join(javaFolder, name));
  const texts = await Promise.all(paths.map((path) => readFile(path)));
  const classes = join(folder, `classes-${digest(Buffer.concat(texts)).slice(0, 12)}`);
  if (existsSync(classes)) return classes;
  const fresh = await mkdtemp(join(folder, "compiling-"));
  try {
    const command = ["javac", "-nowarn", "-proc:none", "-cp", jars, "-d", fresh, ...paths];
    await run(test, command, compileDeadlineMs);
    await rename(fresh, classes).catch((error: NodeJS.ErrnoException) => {
      // Another run was faster; its classes are the same.
      if (!existsSync(classes)) throw error;
    });
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  return classes;
}

const digest = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
