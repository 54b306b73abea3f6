/** A command line taken apart: Java's words away from the command's own. */
export interface Words {
  /** The first word, when it is not an option. */
  readonly command: string | undefined;
  /** `-Dname=value`; the later wins. */
  readonly defines: ReadonlyMap<string, string>;
  /** Words for a Java machine, such as `-Xmx1g`. They mean nothing here. */
  readonly javaWords: readonly string[];
  /** Everything else, long options with two dashes. */
  readonly options: readonly string[];
}

/** Long options that Flume's parser also takes with a single dash, and its two-letter short ones. */
const singleDash: Readonly<Record<string, string>> = {
  "-name": "--name",
  "-conf": "--conf",
  "-conf-file": "--conf-file",
  "-classpath": "--classpath",
  "-plugins-path": "--plugins-path",
  "-no-reload-conf": "--no-reload-conf",
  "-help": "--help",
  "-prov": "--conf-provider",
  "-user": "--conf-user",
  "-pwd": "--conf-password",
};

const javaWord =
  /^-(X.*|javaagent:.*|agentlib:.*|agentpath:.*|verbose(:.*)?|server|client|ea|enableassertions)$/;

export function splitWords(args: readonly string[]): Words {
  const [first, ...rest] = args;
  const command = first === undefined || first.startsWith("-") ? undefined : first;
  const defines = new Map<string, string>();
  const javaWords: string[] = [];
  const options: string[] = [];
  for (const word of command === undefined ? args : rest) {
    const define = parseDefine(word);
    if (define !== undefined) defines.set(define.name, define.value);
    else if (javaWord.test(word)) javaWords.push(word);
    else options.push(singleDash[word] ?? word);
  }
  return { command: command ?? flagCommand(options), defines, javaWords, options };
}

/** `-Dname=value`; `-Dname` alone has an empty value, as in Java. */
export function parseDefine(word: string): { name: string; value: string } | undefined {
  const match = /^-D([^=]+)(?:=(.*))?$/s.exec(word);
  return match === null ? undefined : { name: match[1] ?? "", value: match[2] ?? "" };
}

function flagCommand(options: readonly string[]): string | undefined {
  if (options.length !== 1) return undefined;
  if (options[0] === "--help" || options[0] === "-h") return "help";
  return options[0] === "--version" ? "version" : undefined;
}
