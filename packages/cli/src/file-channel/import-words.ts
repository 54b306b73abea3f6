import { expandHome } from "@millrace/core";
import { resolve } from "node:path";
import { UsageError } from "./sub-command.ts";

export interface ImportWords {
  /** The Java channel's. */
  readonly dataDirs: readonly string[];
  readonly checkpointDir: string | undefined;
  /** Undefined with `--dry-run`. */
  readonly target: ImportTarget | undefined;
  readonly keyStore: KeyStoreWords | undefined;
  readonly batchSize: number;
  readonly positionFile: string | undefined;
  readonly yes: boolean;
}

export type ImportTarget =
  | {
      readonly kind: "channel";
      readonly dataDirs: readonly string[];
      /** The key that new segments are encrypted with; false: they are to be plain, and the user said so. */
      readonly activeKey: string | false | undefined;
    }
  | { readonly kind: "avro"; readonly address: string };

export interface KeyStoreWords {
  readonly file: string;
  readonly passwordFile: string;
  readonly keyPasswordFiles: ReadonlyMap<string, string>;
}

const withValue = [
  "checkpoint-dir",
  "into",
  "to",
  "key-store",
  "key-store-password-file",
  "key-password-file",
  "active-key",
  "batch-size",
  "position-file",
] as const;
const alone = ["dry-run", "plain", "yes"] as const;
const batchSizeDefault = 1000;
const batchSizeMax = 100_000;

/** Reads the words behind `file-channel import`. Throws UsageError. */
export function parseImportWords(args: readonly string[], home: string): ImportWords {
  const { values, flags, rest } = splitOptions(args);
  const path = (text: string): string => resolve(expandHome(text, home));
  const paths = (text: string): string[] => splitList(text).map(path);
  const one = (name: string): string | undefined => values.get(name)?.at(-1);
  const onePath = (name: string): string | undefined => {
    const value = one(name);
    return value === undefined ? undefined : path(value);
  };
  const dataDirs = rest.flatMap(paths);
  if (dataDirs.length === 0) throw new UsageError("name the dataDirs of the Java channel");
  if (new Set(dataDirs).size < dataDirs.length) throw new UsageError("a directory is named twice");
  return {
    dataDirs,
    checkpointDir: onePath("checkpoint-dir"),
    target: parseTarget(one, flags, paths),
    keyStore: parseKeyStore(onePath, values.get("key-password-file") ?? [], path),
    batchSize: parseBatchSize(one("batch-size")),
    positionFile: onePath("position-file"),
    yes: flags.has("yes"),
  };
}

interface SplitWords {
  readonly values: ReadonlyMap<string, readonly string[]>;
  readonly flags: ReadonlySet<string>;
  readonly rest: readonly string[];
}

function splitOptions(args: readonly string[]): SplitWords {
  const values = new Map<string, string[]>();
  const flags = new Set<string>();
  const rest: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const word = args[i] as string;
    if (!word.startsWith("-")) {
      rest.push(word);
      continue;
    }
    const [name = "", inline] = splitOnce(word.replace(/^--?/, ""), "=");
    if ((alone as readonly string[]).includes(name) && inline === undefined) {
      flags.add(name);
      continue;
    }
    if (!(withValue as readonly string[]).includes(name)) {
      throw new UsageError(`unknown option ${word}`);
    }
    const value = inline ?? args[++i];
    if (value === undefined || value === "") throw new UsageError(`--${name} needs a value`);
    values.set(name, [...(values.get(name) ?? []), value]);
  }
  return { values, flags, rest };
}

function parseTarget(
  one: (name: string) => string | undefined,
  flags: ReadonlySet<string>,
  paths: (text: string) => string[],
): ImportTarget | undefined {
  const [into, to, activeKey] = [one("into"), one("to"), one("active-key")];
  const given = [into, to, flags.has("dry-run") ? "" : undefined].filter((x) => x !== undefined);
  if (given.length !== 1) throw new UsageError("say one of --into, --to and --dry-run");
  if (activeKey !== undefined && flags.has("plain")) {
    throw new UsageError("--active-key and --plain contradict each other");
  }
  if (into !== undefined) {
    const dataDirs = paths(into);
    if (dataDirs.length === 0) throw new UsageError("--into names no directory");
    return { kind: "channel", dataDirs, activeKey: flags.has("plain") ? false : activeKey };
  }
  if (to === undefined) return undefined;
  const address = /^avro:\/\/([^/]+:\d+)\/?$/.exec(to)?.[1];
  if (address === undefined) throw new UsageError(`--to ${to} is not avro://host:port`);
  return { kind: "avro", address };
}

function parseKeyStore(
  onePath: (name: string) => string | undefined,
  keyPasswords: readonly string[],
  path: (text: string) => string,
): KeyStoreWords | undefined {
  const file = onePath("key-store");
  const passwordFile = onePath("key-store-password-file");
  if (file === undefined && passwordFile === undefined && keyPasswords.length === 0) {
    return undefined;
  }
  if (file === undefined || passwordFile === undefined) {
    throw new UsageError("--key-store and --key-store-password-file go together");
  }
  const keyPasswordFiles = new Map<string, string>();
  for (const text of keyPasswords) {
    const [alias = "", file] = splitOnce(text, "=");
    if (alias === "" || file === undefined || file === "") {
      throw new UsageError(`--key-password-file ${text} is not <alias>=<file>`);
    }
    keyPasswordFiles.set(alias, path(file));
  }
  return { file, passwordFile, keyPasswordFiles };
}

function parseBatchSize(text: string | undefined): number {
  if (text === undefined) return batchSizeDefault;
  const size = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (size < 1 || size > batchSizeMax) {
    throw new UsageError(`--batch-size ${text} is not a number from 1 to ${batchSizeMax}`);
  }
  return size;
}

function splitList(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}
