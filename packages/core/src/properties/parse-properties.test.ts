import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { parseProperties } from "./parse-properties.ts";

const pairs = (text: string): [string, string][] =>
  parseProperties(text).lines.map(({ key, value }) => [key, value]);

const cases: { name: string; text: string; want: [string, string][] }[] = [
  { name: "an equals sign separates", text: "a=b", want: [["a", "b"]] },
  { name: "a colon separates", text: "a:b", want: [["a", "b"]] },
  { name: "a blank separates", text: "a b", want: [["a", "b"]] },
  { name: "blanks around one separator belong to it", text: "a \t=\f b", want: [["a", "b"]] },
  { name: "a second separator belongs to the value", text: "a = = b", want: [["a", "= b"]] },
  { name: "a key alone has an empty value", text: "a", want: [["a", ""]] },
  { name: "a separator alone has an empty key", text: "=b", want: [["", "b"]] },
  {
    name: "blanks at the end of a value are kept for Flume to trim",
    text: "a=b  ",
    want: [["a", "b  "]],
  },
  {
    name: "comments begin with # or !, after blanks too",
    text: "#x=1\n !y=2\na=b#c",
    want: [["a", "b#c"]],
  },
  { name: "a comment does not go on over a backslash", text: "# x \\\na=b", want: [["a", "b"]] },
  {
    name: "a backslash at the end continues, dropping the blanks that follow",
    text: "a = b, \\\n    c",
    want: [["a", "b, c"]],
  },
  {
    name: "a continued line that looks like a comment is none",
    text: "a=\\\n#b",
    want: [["a", "#b"]],
  },
  {
    name: "a blank line ends a continuation",
    text: "a=b\\\n\nc=d",
    want: [
      ["a", "b"],
      ["c", "d"],
    ],
  },
  {
    name: "two backslashes at the end are one, and do not continue",
    text: "a=b\\\\\nc=d",
    want: [
      ["a", "b\\"],
      ["c", "d"],
    ],
  },
  { name: "a backslash at the end of the text is dropped", text: "a=b\\", want: [["a", "b"]] },
  {
    name: "lines end with CR, LF or both",
    text: "a=1\rb=2\r\nc=3\n",
    want: [
      ["a", "1"],
      ["b", "2"],
      ["c", "3"],
    ],
  },
  {
    name: "escaped separators belong to the key",
    text: "a\\=b\\:c\\ d=e",
    want: [["a=b:c d", "e"]],
  },
  {
    name: "an escaped blank at the start of a value is kept",
    text: "a=\\  b",
    want: [["a", "  b"]],
  },
  {
    name: "control characters and unicode are escaped",
    text: "a=\\t\\n\\r\\f\\u00e9\\q",
    want: [["a", "\t\n\r\f\u00e9q"]],
  },
  {
    name: "a repeated key is reported twice, in order",
    text: "a=1\na=2",
    want: [
      ["a", "1"],
      ["a", "2"],
    ],
  },
  { name: "an empty text has no lines", text: "\n \t\n", want: [] },
];

for (const { name, text, want } of cases) {
  void test(`in a properties text ${name}`, () => assert.deepEqual(pairs(text), want));
}

void test("positions are those of the natural line, across continuations and comments", () => {
  const { lines } = parseProperties("# one\n  a1.sources = r1 \\\n     r2\n\nb =\\\n  value\nc=\n");
  assert.deepEqual(
    lines.map(({ keyAt, valueAt }) => [keyAt, valueAt]),
    [
      [
        { line: 2, column: 3 },
        { line: 2, column: 16 },
      ],
      [
        { line: 5, column: 1 },
        { line: 6, column: 3 },
      ],
      [
        { line: 7, column: 1 },
        { line: 7, column: 3 },
      ],
    ],
  );
});

void test("a malformed unicode escape is a problem with its place, and the other lines are read", () => {
  const { lines, problems } = parseProperties("a=1\nb=x\\u00g1\nc=3");
  assert.deepEqual(
    lines.map(({ key }) => key),
    ["a", "c"],
  );
  assert.deepEqual(problems, [
    { at: { line: 2, column: 4 }, message: "\\u must be followed by four hexadecimal digits" },
  ]);
});

function write(key: string, value: string): string {
  const escape = (text: string): string =>
    [...text.split("")]
      .map((char) =>
        /[A-Za-z0-9.]/.test(char)
          ? char
          : /[=:#! \\]/.test(char)
            ? `\\${char}`
            : `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
      )
      .join("");
  return `${escape(key)} = ${escape(value)}`;
}

void test("what is written with every escape is read back unchanged", () => {
  const entry = fc.tuple(
    fc.string({ unit: "binary", minLength: 1 }),
    fc.string({ unit: "binary" }),
  );
  fc.assert(
    fc.property(
      fc.array(entry, { maxLength: 8 }),
      fc.constantFrom("\n", "\r\n", "\r"),
      (entries, end) => {
        assert.deepEqual(
          pairs(entries.map(([key, value]) => write(key, value)).join(end)),
          entries,
        );
      },
    ),
    { numRuns: 100 },
  );
});

void test("no text makes the parser throw, and every line it reports lies in the text", () => {
  const piece = fc.constantFrom(
    "\\",
    "\\u",
    "=",
    ":",
    " ",
    "\n",
    "\r",
    "#",
    "a",
    "00e9",
    "\t",
    "é",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      const text = pieces.join("");
      const count = text.split(/\r\n|\r|\n/).length;
      for (const { keyAt, valueAt } of parseProperties(text).lines) {
        assert(keyAt.line >= 1 && valueAt.line >= keyAt.line && valueAt.line <= count);
        assert(keyAt.column >= 1 && valueAt.column >= 1);
      }
    }),
    { numRuns: 500 },
  );
});
