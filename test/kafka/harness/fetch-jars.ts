import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { missingPrograms, mustRun, run } from "../../conformance/harness/programs.ts";

const javaFolder = join(dirname(dirname(fileURLToPath(import.meta.url))), "java");
const fetchDeadlineMs = 480_000;

export interface Jars {
  /** Of what: "kafka-3.9.1". Also the folder's name in the cache. */
  readonly name: string;
  /** The file in test/kafka/java that lists them, and the property that is its version. */
  readonly pom: string;
  readonly versionProperty: string;
  readonly version: string;
  /** A jar without which they are not whole. */
  readonly contains: string;
}

/**
 * The class path of the jars, fetched by Maven unless they lie whole in the cache:
 *
 *     $XDG_CACHE_HOME/millrace-test/<name>/lib/*.jar
 *                                          complete.json    the pom's digest and the jars' names
 *
 * Undefined when a program or the network is missing: the test is then marked as skipped, with the
 * reason, or fails where everything is required.
 */
export async function findJars(context: TestContext, jars: Jars): Promise<string | undefined> {
  const folder = join(
    process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"),
    "millrace-test",
    jars.name,
  );
  const pom = await readFile(join(javaFolder, jars.pom));
  const whole = await isComplete(folder, pom);
  const missing = missingPrograms(["java", ...(whole ? [] : ["mvn" as const])]);
  try {
    if (missing.length > 0) throw new Error(`no ${missing.join(", no ")} on PATH`);
    if (!whole) await fetchJars(context, folder, jars, pom);
  } catch (error) {
    const reason = `${jars.name} is not there to test with: ${(error as Error).message}`;
    if (mustRun()) throw new Error(reason, { cause: error });
    context.skip(reason);
    return undefined;
  }
  return join(folder, "lib", "*");
}

interface Complete {
  readonly pom: string;
  readonly jars: readonly string[];
}

/** A fetch that was interrupted, a jar that is missing or another pom: fetched again. */
async function isComplete(folder: string, pom: Buffer): Promise<boolean> {
  try {
    const complete = JSON.parse(await readFile(join(folder, "complete.json"), "utf8")) as Complete;
    const jars = (await readdir(join(folder, "lib"))).sort();
    return complete.pom === digest(pom) && JSON.stringify(jars) === JSON.stringify(complete.jars);
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
  { name, versionProperty, version, contains }: Jars,
  pom: Buffer,
): Promise<void> {
  await mkdir(dirname(folder), { recursive: true });
  const fresh = await mkdtemp(`${folder}-`);
  try {
    await writeFile(join(fresh, "pom.xml"), pom);
    test.diagnostic(`fetching ${name} with Maven`);
    const command = [
      ...["mvn", "--batch-mode", "--quiet", "--file", join(fresh, "pom.xml")],
      `-D${versionProperty}=${version}`,
      "dependency:copy-dependencies",
      "-DincludeScope=runtime",
      `-DoutputDirectory=${join(fresh, "lib")}`,
    ];
    await run(test, command, fetchDeadlineMs);
    const jars = (await readdir(join(fresh, "lib"))).sort();
    if (!jars.includes(contains)) throw new Error(`Maven gave no ${contains}`);
    const complete: Complete = { pom: digest(pom), jars };
    await writeFile(join(fresh, "complete.json"), JSON.stringify(complete, undefined, 1));
    await rm(folder, { recursive: true, force: true });
    await rename(fresh, folder);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

const digest = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
