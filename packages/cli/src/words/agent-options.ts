import { parseArgs } from "node:util";
import type { ProgramName } from "../program.ts";
import type { Words } from "./split-words.ts";

/** What `agent` and `check` are asked to do. */
export interface AgentWords {
  readonly agent: string;
  readonly files: readonly string[];
  readonly confDirectory: string | undefined;
  readonly mode: "strict" | "lenient";
  readonly dryrun: boolean;
  /** The folders of `--plugins-path`, whose plugins are known by their types. */
  readonly pluginFolders: readonly string[];
  /** Whether the configuration's files are not to be watched. */
  readonly noReloadConf: boolean;
  /** How often they are looked at; undefined or 0 for the default. */
  readonly pollIntervalSeconds: number | undefined;
  /** Words that were accepted and have no effect, a line each. */
  readonly notes: readonly string[];
}

const text = { type: "string" } as const;
const flag = { type: "boolean" } as const;
const known = {
  name: { ...text, short: "n" },
  "conf-file": { ...text, short: "f", multiple: true },
  conf: { ...text, short: "c" },
  strict: flag,
  lenient: flag,
  dryrun: { ...flag, short: "d" },
  help: { ...flag, short: "h" },
  classpath: { ...text, short: "C", multiple: true },
  "plugins-path": { ...text, multiple: true },
  "no-reload-conf": flag,
  "poll-interval": { ...text, short: "i" },
  "conf-uri": { ...text, short: "u", multiple: true },
  zkConnString: { ...text, short: "z" },
  zkBasePath: { ...text, short: "p" },
  "conf-provider": text,
  "auth-provider": { ...text, short: "a" },
  "conf-user": text,
  "conf-password": text,
  "backup-directory": { ...text, short: "b" },
} as const;

/** Flume's ways to a configuration that are not ours yet. */
const notSupported = [
  "conf-uri",
  "zkConnString",
  "zkBasePath",
  "conf-provider",
  "auth-provider",
  "conf-user",
  "conf-password",
  "backup-directory",
] as const;

const withoutEffect: Readonly<Record<string, string>> = {
  classpath: "there are no Java classes here",
};

/** The options, or `"help"`, or what is wrong with them. */
export function parseAgentWords(
  words: Words,
  program: ProgramName,
): AgentWords | "help" | { readonly problem: string } {
  let values;
  try {
    ({ values } = parseArgs({ args: [...words.options], options: known, strict: true }));
  } catch (error) {
    return { problem: (error as Error).message.replace(/\. To specify a positional[\s\S]*$/, "") };
  }
  if (values.help === true) return "help";
  const unsupported = notSupported.filter((name) => values[name] !== undefined);
  if (unsupported.length > 0) {
    const names = unsupported.map((name) => `--${name}`).join(", ");
    return { problem: `${names} is not supported in this version; use --conf-file` };
  }
  const files = values["conf-file"] ?? [];
  if (values.name === undefined) return { problem: "-n <agent> is missing: which agent to run" };
  if (files.length === 0) return { problem: "-f <file> is missing: the configuration to read" };
  if (values.strict === true && values.lenient === true) {
    return { problem: "--strict and --lenient exclude each other" };
  }
  const interval = values["poll-interval"];
  if (interval !== undefined && !/^\d{1,6}$/.test(interval)) {
    return { problem: `--poll-interval ${interval} is not a whole number of seconds` };
  }
  const lenient = values.lenient === true || (program === "flume-ng" && values.strict !== true);
  return {
    agent: values.name,
    files,
    confDirectory: values.conf,
    mode: lenient ? "lenient" : "strict",
    dryrun: values.dryrun === true,
    pluginFolders: (values["plugins-path"] ?? []).flatMap((list) =>
      list.split(":").filter(Boolean),
    ),
    noReloadConf: values["no-reload-conf"] === true,
    pollIntervalSeconds: interval === undefined ? undefined : Number(interval),
    notes: [
      ...words.javaWords.map((word) => `${word} has no effect: there is no Java machine here`),
      ...Object.entries(withoutEffect)
        .filter(([name]) => name in values)
        .map(([name, why]) => `--${name} has no effect: ${why}`),
    ],
  };
}
