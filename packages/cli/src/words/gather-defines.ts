import { type FileSystem, readWholeFile, systemErrorCode } from "@millrace/core";
import { join } from "node:path";
import { readDefines, readJavaOpts, splitShellWords } from "./java-opts.ts";
import type { Words } from "./split-words.ts";

/** Flume's environment variables that stand in for system properties which are not given. */
const fromEnvironment = [
  ["javax.net.ssl.keyStore", "FLUME_SSL_KEYSTORE_PATH"],
  ["javax.net.ssl.keyStorePassword", "FLUME_SSL_KEYSTORE_PASSWORD"],
  ["javax.net.ssl.keyStoreType", "FLUME_SSL_KEYSTORE_TYPE"],
  ["javax.net.ssl.trustStore", "FLUME_SSL_TRUSTSTORE_PATH"],
  ["javax.net.ssl.trustStorePassword", "FLUME_SSL_TRUSTSTORE_PASSWORD"],
  ["javax.net.ssl.trustStoreType", "FLUME_SSL_TRUSTSTORE_TYPE"],
  ["flume.ssl.include.protocols", "FLUME_SSL_INCLUDE_PROTOCOLS"],
  ["flume.ssl.exclude.protocols", "FLUME_SSL_EXCLUDE_PROTOCOLS"],
  ["flume.ssl.include.cipherSuites", "FLUME_SSL_INCLUDE_CIPHERSUITES"],
  ["flume.ssl.exclude.cipherSuites", "FLUME_SSL_EXCLUDE_CIPHERSUITES"],
] as const;

export interface GatheredDefines {
  readonly defines: ReadonlyMap<string, string>;
  /** What was left out, and why, a line each. */
  readonly notes: readonly string[];
}

/**
 * All -D words in the order of Flume's launcher, the later wins: JAVA_OPTS of `flume-env.sh`,
 * FLUME_JAVA_OPTS of the environment, the command line. What none of them says about TLS is taken
 * from Flume's environment variables.
 */
export async function gatherDefines(
  words: Words,
  confDirectory: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  files: FileSystem,
): Promise<GatheredDefines> {
  const notes: string[] = [];
  const defines = new Map<string, string>();
  const add = (more: GatheredDefines): void => {
    for (const [name, value] of more.defines) defines.set(name, value);
    notes.push(...more.notes);
  };
  if (confDirectory !== undefined) {
    const path = join(confDirectory, "flume-env.sh");
    const shellText = await readIfThere(files, path, notes);
    if (shellText !== undefined) add(readJavaOpts(shellText));
  }
  add(readDefines(splitShellWords(env["FLUME_JAVA_OPTS"] ?? "")));
  add({ defines: words.defines, notes: [] });
  for (const [property, variable] of fromEnvironment) {
    const value = env[variable];
    if (value !== undefined && !defines.has(property)) defines.set(property, value);
  }
  return { defines, notes };
}

async function readIfThere(
  files: FileSystem,
  path: string,
  notes: string[],
): Promise<string | undefined> {
  try {
    return (await readWholeFile(files, path)).toString("utf8");
  } catch (error) {
    if (systemErrorCode(error) !== "ENOENT") {
      notes.push(`${path} cannot be read: ${(error as Error).message}`);
    }
    return undefined;
  }
}
