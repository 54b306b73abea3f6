import { parseDefine } from "./split-words.ts";

/** The -D words found in a shell text, and what could not be understood without running it. */
export interface JavaOpts {
  readonly defines: ReadonlyMap<string, string>;
  readonly notes: readonly string[];
}

/**
 * Finds the -D words of JAVA_OPTS in `flume-env.sh`. The file is read, never run: only lines of the
 * form `[export] JAVA_OPTS=words` count, with or without quotes; `$JAVA_OPTS` inside keeps what was
 * set before. A word that holds any other expansion is noted and left out.
 */
export function readJavaOpts(shellText: string): JavaOpts {
  let words: string[] = [];
  for (const line of shellText.replace(/\\\r?\n/g, " ").split(/\r?\n/)) {
    const match = /^\s*(?:export\s+)?JAVA_OPTS=(.*)$/.exec(line);
    if (match === null) continue;
    const own = splitShellWords(unquote(match[1] ?? ""));
    words = own.flatMap((word) => (/^\$\{?JAVA_OPTS\}?$/.test(word) ? words : [word]));
  }
  return readDefines(words);
}

/** The -D words of a value as the environment has it, such as FLUME_JAVA_OPTS. */
export function readDefines(words: readonly string[]): JavaOpts {
  const defines = new Map<string, string>();
  const notes: string[] = [];
  for (const word of words) {
    const define = parseDefine(word);
    if (define === undefined) continue;
    if (/[$`]/.test(word)) notes.push(`${word} needs a shell and is left out`);
    else defines.set(define.name, define.value);
  }
  return { defines, notes };
}

/** What stands between the quotes that open the value, or up to a comment. */
function unquote(value: string): string {
  const quoted = /^(["'])(.*?)\1/.exec(value);
  return quoted?.[2] ?? value.replace(/\s#.*$/, "");
}

/** Words separated by blanks; quotes keep blanks together. */
export function splitShellWords(text: string): string[] {
  const words = text.match(/(?:[^\s"']|"[^"]*"|'[^']*')+/g) ?? [];
  return words.map((word) => word.replace(/"([^"]*)"|'([^']*)'/g, "$1$2"));
}
