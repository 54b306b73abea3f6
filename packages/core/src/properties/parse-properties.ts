/**
 * Java `.properties` text, as `java.util.Properties.load` reads it:
 *
 *     logical line  = natural line, continued while it ends with an odd number of backslashes;
 *                     white space at the start of each natural line is dropped
 *     comment       = a natural line, not a continued one, whose first character is # or !
 *     key           = up to the first unescaped = : or white space
 *     separator     = white space, at most one = or :, white space
 *     value         = the rest, white space at its end included (Flume trims it afterwards)
 *     escape        = \t \n \r \f, \uXXXX, or a backslash before any other character, which is dropped
 *
 * White space is blank, tab and form feed; lines end with LF, CR or CR LF.
 */
export interface PropertyLine {
  readonly key: string;
  readonly value: string;
  readonly keyAt: Position;
  /** Where the value begins, or would begin when it is empty. */
  readonly valueAt: Position;
}

/** Both count from 1; a column is a UTF-16 unit, as editors count. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface ParsedProperties {
  /** In the order of the text, repeated keys included. */
  readonly lines: readonly PropertyLine[];
  readonly problems: readonly { readonly at: Position; readonly message: string }[];
}

/** One character of a logical line, where it stood, and whether a backslash stood before it. */
interface Char {
  readonly text: string;
  readonly at: Position;
  readonly escaped: boolean;
}

/** Reads the whole text. Never throws: a malformed escape is a problem, and its line is left out. */
export function parseProperties(text: string): ParsedProperties {
  const lines: PropertyLine[] = [];
  const problems: { at: Position; message: string }[] = [];
  for (const logical of logicalLines(text)) {
    const chars = unescape(logical, problems);
    if (chars !== undefined) lines.push(splitLine(chars, logical.at(-1) as Char));
  }
  return { lines, problems };
}

/** The characters of each logical line that is neither blank nor a comment, backslashes included. */
function* logicalLines(text: string): Generator<Char[]> {
  const natural = text.split(/\r\n|\r|\n/);
  let current: Char[] = [];
  let continued = false;
  for (const [index, raw] of natural.entries()) {
    const start = raw.search(/[^ \t\f]/);
    const body = start < 0 ? "" : raw.slice(start);
    if (!continued && /^[#!]/.test(body)) continue;
    const slashes = /\\*$/.exec(body)?.[0].length ?? 0;
    continued = slashes % 2 === 1;
    const kept = continued ? body.slice(0, -1) : body;
    for (let i = 0; i < kept.length; i++) {
      const at = { line: index + 1, column: start + i + 1 };
      current.push({ text: kept[i] as string, at, escaped: false });
    }
    if (continued && index < natural.length - 1) continue;
    if (current.length > 0) yield current;
    current = [];
    continued = false;
  }
}

const controls: Readonly<Record<string, string>> = { t: "\t", n: "\n", r: "\r", f: "\f" };

function unescape(
  chars: readonly Char[],
  problems: { at: Position; message: string }[],
): Char[] | undefined {
  const plain: Char[] = [];
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i] as Char;
    if (char.text !== "\\") {
      plain.push(char);
      continue;
    }
    const next = chars[++i] as Char;
    if (next.text !== "u") {
      plain.push({ text: controls[next.text] ?? next.text, at: char.at, escaped: true });
      continue;
    }
    const digits = chars.slice(i + 1, i + 5).map(({ text }) => text);
    if (!/^[0-9a-fA-F]{4}$/.test(digits.join(""))) {
      problems.push({ at: char.at, message: "\\u must be followed by four hexadecimal digits" });
      return undefined;
    }
    plain.push({
      text: String.fromCharCode(parseInt(digits.join(""), 16)),
      at: char.at,
      escaped: true,
    });
    i += 4;
  }
  return plain;
}

function splitLine(chars: readonly Char[], last: Char): PropertyLine {
  const isBlank = ({ text, escaped }: Char): boolean => !escaped && /[ \t\f]/.test(text);
  const isMark = ({ text, escaped }: Char): boolean => !escaped && /[=:]/.test(text);
  let at = 0;
  const skip = (which: (char: Char) => boolean, most = Infinity): void => {
    for (let n = 0; n < most && at < chars.length && which(chars[at] as Char); n++) at++;
  };
  skip((char) => !isBlank(char) && !isMark(char));
  const keyEnd = at;
  skip(isBlank);
  skip(isMark, 1);
  skip(isBlank);
  const join = (part: readonly Char[]): string => part.map(({ text }) => text).join("");
  const behind = { line: last.at.line, column: last.at.column + 1 };
  return {
    key: join(chars.slice(0, keyEnd)),
    value: join(chars.slice(at)),
    keyAt: chars[0]?.at ?? last.at,
    valueAt: chars[at]?.at ?? behind,
  };
}
