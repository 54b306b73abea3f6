import { loadConfiguration } from "@millrace/agent";
import { expandHome, type FileSystem, MillraceError, silentLog } from "@millrace/core";
import { createJceksKeyProvider, createKeyFiles, type KeyProvider } from "@millrace/file-channel";
import { join } from "node:path";
import { parseArgs, type ParseArgsConfig } from "node:util";
import { loadRegistry } from "../commands/load-registry.ts";
import { type Surroundings, UsageError } from "./sub-command.ts";

const text = { type: "string" } as const;
const common = {
  name: { ...text, short: "n" },
  "conf-file": { ...text, short: "f", multiple: true },
  channel: { ...text, short: "c" },
  "key-dir": text,
  "key-store": text,
  "key-store-password-file": text,
} as const;

/** How every sub-command is told its channel; for its usage. */
export const channelUsage = `which channel
  <directory>...               all directories of one channel, as its dataDirs names them
  -n <agent> -f <file> -c <channel>   or those that a configuration gives the channel`;

export const keysUsage = `keys of an encrypted channel (a configuration says it by itself)
  --key-dir <dir>              encryption.keyProvider = KEYFILES, a file a key
  --key-store <file> --key-store-password-file <file>   JCEKSFILE`;

/** A channel's directories, and the keys to its events where they were given. */
export interface ToolTarget {
  readonly directories: readonly string[];
  readonly keys: KeyProvider | undefined;
}

/** What `parseArgs` takes as options. */
export type Known = NonNullable<ParseArgsConfig["options"]>;

/** What it makes of them, the common ones included. */
export type ToolWords<O extends Known> = ReturnType<
  typeof parseArgs<{
    options: typeof common & O;
    allowPositionals: true;
    strict: true;
    args: string[];
  }>
>;

/** The words of a sub-command. Throws UsageError. */
export function parseToolWords<O extends Known>(args: readonly string[], options: O): ToolWords<O> {
  try {
    return parseArgs({
      args: [...args],
      options: { ...common, ...options },
      allowPositionals: true,
      strict: true,
    });
  } catch (error) {
    throw new UsageError(
      (error as Error).message.replace(/\. To specify a positional[\s\S]*$/, ""),
    );
  }
}

/** The channel that the words mean. Throws UsageError, and CONFIG_INVALID for its configuration. */
export async function findTarget(
  words: {
    readonly values: Readonly<Record<string, unknown>>;
    readonly positionals: readonly string[];
  },
  around: Surroundings,
): Promise<ToolTarget> {
  const { values, positionals } = words;
  const say = (name: string): string | undefined => values[name] as string | undefined;
  const files = values["conf-file"] as readonly string[] | undefined;
  const given = keysOf(values, around.runtime.files);
  if (files === undefined) {
    if (positionals.length === 0) throw new UsageError("name the channel's directories");
    return { directories: positionals, keys: given };
  }
  if (positionals.length > 0)
    throw new UsageError("give directories, or a configuration, not both");
  const agent = say("name");
  const channel = say("channel");
  if (agent === undefined || channel === undefined) {
    throw new UsageError("with -f also give the agent by -n and the channel by -c");
  }
  const target = targetOf(await configuredOptions(files, agent, channel, around), around);
  return { ...target, keys: given ?? target.keys };
}

export type TargetSurroundings = Pick<Surroundings, "home" | "runtime">;

/** The directories and keys that a channel's options name. */
export function targetOf(
  options: Readonly<Record<string, unknown>>,
  around: TargetSurroundings,
): ToolTarget {
  const named = (options["dataDirs"] as readonly string[]).map((path) =>
    expandHome(path, around.home),
  );
  const directories =
    named.length > 0 ? named : [join(around.home, ".flume", "file-channel", "data")];
  return { directories, keys: configuredKeys(options, around) };
}

async function configuredOptions(
  files: readonly string[],
  agent: string,
  channel: string,
  { systemProperties: defines, runtime }: Surroundings,
): Promise<Readonly<Record<string, unknown>>> {
  const registry = await loadRegistry();
  const request = { files, agent, registry, defines, runtime, mode: "lenient" } as const;
  const { configuration, problems } = await loadConfiguration(request);
  const found = configuration.channels.get(channel);
  const options = found?.options as Readonly<Record<string, unknown>> | undefined;
  if (found !== undefined && options !== undefined && Array.isArray(options["dataDirs"])) {
    return options;
  }
  const why =
    found === undefined
      ? `${files.join(", ")} gives agent ${agent} no channel ${channel} that could run`
      : `${channel} is of type ${found.type} and keeps nothing in directories`;
  const first = problems.find(({ severity }) => severity === "error");
  throw new MillraceError(
    "CONFIG_INVALID",
    first === undefined || found !== undefined ? why : `${why}: ${first.message}`,
  );
}

function keysOf(
  values: Readonly<Record<string, unknown>>,
  files: FileSystem,
): KeyProvider | undefined {
  const directory = values["key-dir"] as string | undefined;
  const keyStoreFile = values["key-store"] as string | undefined;
  const keyStorePasswordFile = values["key-store-password-file"] as string | undefined;
  if (directory !== undefined && keyStoreFile !== undefined) {
    throw new UsageError("--key-dir and --key-store exclude each other");
  }
  if (directory !== undefined) return createKeyFiles({ directory }, files, silentLog);
  if (keyStoreFile === undefined) return undefined;
  if (keyStorePasswordFile === undefined) {
    throw new UsageError("--key-store needs --key-store-password-file");
  }
  return createJceksKeyProvider({ keyStoreFile, keyStorePasswordFile }, files);
}

function configuredKeys(
  options: Readonly<Record<string, unknown>>,
  { home, runtime: { files } }: TargetSurroundings,
): KeyProvider | undefined {
  const path = (name: string): string | undefined => {
    const value = options[name];
    return typeof value === "string" ? expandHome(value, home) : undefined;
  };
  const named = options["keyFiles"] instanceof Map ? options["keyFiles"] : new Map();
  const pathsOf = (kind: string): Map<string, string> => {
    const found = new Map<string, string>();
    for (const [name, value] of named as ReadonlyMap<string, string>) {
      if (name.endsWith(kind)) found.set(name.slice(0, -kind.length), expandHome(value, home));
    }
    return found;
  };
  switch (options["keyProvider"]) {
    case "KEYFILES": {
      const keyFiles = { directory: path("keyDir"), paths: pathsOf(".file") };
      return createKeyFiles(keyFiles, files, silentLog);
    }
    case "JCEKSFILE": {
      const keyStoreFile = path("keyStoreFile") ?? "";
      const keyStorePasswordFile = path("keyStorePasswordFile") ?? "";
      const keyPasswordFiles = pathsOf(".passwordFile");
      return createJceksKeyProvider(
        { keyStoreFile, keyStorePasswordFile, keyPasswordFiles },
        files,
      );
    }
    default:
      return undefined;
  }
}
