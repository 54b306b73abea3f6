import { parseArgs } from "node:util";
import type { Words } from "./split-words.ts";

/** What `avro-client` is asked to do. */
export interface AvroClientWords {
  /** Where to send: one Avro source, or what a properties file says. */
  readonly target: { readonly host: string; readonly port: number } | { readonly rpcProps: string };
  readonly input:
    | { readonly kind: "file"; readonly path: string }
    | { readonly kind: "directory"; readonly path: string }
    | { readonly kind: "stdin" };
  readonly headerFile: string | undefined;
  readonly confDirectory: string | undefined;
  /** Words that were accepted and have no effect, a line each. */
  readonly notes: readonly string[];
}

const text = { type: "string" } as const;
const known = {
  host: { ...text, short: "H" },
  port: { ...text, short: "p" },
  rpcProps: { ...text, short: "P" },
  filename: { ...text, short: "F" },
  dirname: text,
  headerFile: { ...text, short: "R" },
  help: { type: "boolean", short: "h" },
  conf: { ...text, short: "c" },
  classpath: { ...text, short: "C", multiple: true },
  "plugins-path": { ...text, multiple: true },
} as const;

/** Flume's parser takes long options with a single dash too. */
const singleDash = /^-(host|port|rpcProps|filename|dirname|headerFile)(=.*)?$/;

/** The options, or `"help"`, or what is wrong with them. */
export function parseAvroClientWords(
  words: Words,
): AvroClientWords | "help" | { readonly problem: string } {
  let values;
  try {
    const args = words.options.map((word) => (singleDash.test(word) ? `-${word}` : word));
    ({ values } = parseArgs({ args, options: known, strict: true }));
  } catch (error) {
    return { problem: (error as Error).message.replace(/\. To specify a positional[\s\S]*$/, "") };
  }
  if (values.help === true) return "help";
  const { host, port, rpcProps, filename, dirname } = values;
  if (filename !== undefined && dirname !== undefined) {
    return { problem: "--filename and --dirname exclude each other" };
  }
  if (rpcProps === undefined && (host === undefined || port === undefined)) {
    return { problem: "give -H <host> and -p <port> of an Avro source, or -P <file> with RPC client properties" }; // prettier-ignore
  }
  if (rpcProps === undefined && !isPort(port)) {
    return { problem: `--port ${port} is not a port, 1 to 65535` };
  }
  return {
    target: rpcProps === undefined ? { host: host ?? "", port: Number(port) } : { rpcProps },
    input:
      dirname !== undefined
        ? { kind: "directory", path: dirname }
        : filename === undefined || filename === "-"
          ? { kind: "stdin" }
          : { kind: "file", path: filename },
    headerFile: values.headerFile,
    confDirectory: values.conf,
    notes: notesOf(values, words),
  };
}

function isPort(text: string | undefined): boolean {
  return /^\d{1,5}$/.test(text ?? "") && Number(text) >= 1 && Number(text) <= 65_535;
}

function notesOf(values: Readonly<Record<string, unknown>>, words: Words): string[] {
  const notes = words.javaWords.map(
    (word) => `${word} has no effect: there is no Java machine here`,
  );
  if (values["classpath"] !== undefined) {
    notes.push("--classpath has no effect: there are no Java classes here");
  }
  if (values["rpcProps"] !== undefined) {
    for (const name of ["host", "port"]) {
      if (values[name] !== undefined) notes.push(`--${name} has no effect beside --rpcProps`);
    }
  }
  return notes;
}
