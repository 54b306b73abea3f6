import { type DeserializerInput, MillraceError, type MakeDeserializer } from "@millrace/core";
import { createSeededRandom, optionsOf, partContext, partMaker } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { deserializer } from "./index.ts";
import { createLineDeserializer } from "./line-deserializer.ts";
import { options } from "./options.ts";

interface Given {
  readonly properties?: Record<string, string>;
  readonly charset?: string;
  readonly policy?: DeserializerInput["decodeErrorPolicy"];
  readonly startOffset?: number;
  /** Bytes a read gives at most. */
  readonly readMax?: number;
}
interface Cut {
  readonly bodies: Buffer[];
  readonly offsets: number[];
  readonly splits: number;
}

function open(content: Buffer, given: Given = {}, onSplit: () => void = () => {}) {
  return createLineDeserializer(
    {
      path: "/spool/a.log",
      startOffset: given.startOffset ?? 0,
      charset: given.charset ?? "UTF-8",
      decodeErrorPolicy: given.policy ?? "FAIL",
      read(into, offset, length, position) {
        const end = Math.min(position + Math.min(length, given.readMax ?? length), content.length);
        return Promise.resolve(content.copy(into, offset, Math.min(position, end), end));
      },
    },
    optionsOf(options, given.properties ?? {}),
    onSplit,
  );
}

async function cut(content: Buffer, given: Given = {}, batch = 3): Promise<Cut> {
  let splits = 0;
  const lines = open(content, given, () => splits++);
  const bodies: Buffer[] = [];
  const offsets: number[] = [];
  for (;;) {
    const events = await lines.read(batch);
    bodies.push(...events.map((event) => event.body));
    offsets.push(...events.map((event) => event.endOffset));
    if (events.length < batch) break;
  }
  assert.deepEqual(await lines.read(1), [], "the end stays the end");
  return { bodies, offsets, splits };
}

const texts = (bodies: readonly Buffer[]): string[] => bodies.map((body) => body.toString());

void test("each line is an event, also the last one without a line feed (T403)", async () => {
  const { bodies, offsets } = await cut(Buffer.from("line 1\nline 2\r\n\nend"));
  assert.deepEqual(texts(bodies), ["line 1", "line 2\r", "", "end"]);
  assert.deepEqual(offsets, [7, 15, 16, 19]);
});

void test("an empty file has no events", async () => {
  assert.deepEqual((await cut(Buffer.alloc(0))).bodies, []);
});

void test("the definition makes one deserializer a file, found by LINE and Flume's class (T404, T405)", async () => {
  const makePart = partMaker(deserializer);
  for (const type of ["LINE", "org.apache.flume.serialization.LineDeserializer$Builder"]) {
    const make = await makePart<MakeDeserializer>({
      kind: "deserializer",
      type,
      prefix: "deserializer.",
      properties: new Map([["maxLineLength", "3"]]),
    });
    const content = Buffer.from("abcd\n");
    const lines = make({
      path: "/x",
      startOffset: 0,
      charset: "UTF-8",
      decodeErrorPolicy: "FAIL",
      read: (into, offset, _length, position) =>
        Promise.resolve(content.copy(into, offset, position)),
    });
    assert.deepEqual(texts((await lines.read(9)).map((event) => event.body)), ["abc", "d"]);
  }
});

void test("a reader made at a recorded offset goes on behind it (T406, T437)", async () => {
  const content = Buffer.from("line 1\nline 2\nline 3\n");
  const first = await open(content).read(2);
  const startOffset = first[1]?.endOffset ?? 0;
  assert.deepEqual(texts((await cut(content, { startOffset })).bodies), ["line 3"]);
});

void test("a line over maxLineLength becomes pieces in order: 10, 10 and 6 letters (T407, T398)", async () => {
  const given = { properties: { maxLineLength: "10" } };
  const alphabet = "abcdefghijklmnopqrstuvwxyz";
  const { bodies, splits } = await cut(Buffer.from(`${alphabet}\nnext\n`), given);
  assert.deepEqual(texts(bodies), ["abcdefghij", "klmnopqrst", "uvwxyz", "next"]);
  assert.equal(splits, 2);
});

void test("the line feed counts: a line of exactly maxLineLength is followed by an empty event", async () => {
  const given = { properties: { maxLineLength: "4" } };
  assert.deepEqual(texts((await cut(Buffer.from("abcd\nabc\n"), given)).bodies), [
    "abcd",
    "",
    "abc",
  ]);
  assert.deepEqual(texts((await cut(Buffer.from("abcd"), given)).bodies), ["abcd"]);
});

void test("a cut never parts a character or a surrogate pair (T426, T436, T438)", async () => {
  const line = "a\u{1f600}b\u{1f600}\u{1f600}é€";
  for (const [charset, bytes] of [
    ["UTF-8", Buffer.from(line)],
    ["UTF-16LE", Buffer.from(line, "utf16le")],
  ] as const) {
    for (let maxLineLength = 1; maxLineLength <= 9; maxLineLength++) {
      const properties = { maxLineLength: String(maxLineLength) };
      const { bodies, offsets } = await cut(bytes, { charset, properties });
      const pieces = texts(bodies);
      assert.equal(pieces.join(""), line, `${charset} ${maxLineLength}: ${pieces.join("|")}`);
      for (const startOffset of offsets.slice(0, -1)) {
        const resumed = await cut(bytes, { charset, properties, startOffset });
        assert.ok(pieces.join("|").endsWith(texts(resumed.bodies).join("|")));
      }
    }
  }
});

void test("a line longer than every buffer is cut without being held whole", async () => {
  const long = Buffer.alloc(3_000_000, "x");
  const content = Buffer.concat([long, Buffer.from("\nend\n")]);
  const { bodies } = await cut(content, { properties: { maxLineLength: "1000000" } }, 2);
  assert.deepEqual(
    bodies.map((body) => body.length),
    [1_000_000, 1_000_000, 1_000_000, 0, 3],
  );
});

const charsetCases: { name: string; charset: string; bytes: Buffer; want: string[] }[] = [
  {
    name: "UTF-8 of two and three bytes (T425)",
    charset: "utf-8",
    bytes: Buffer.from("é\n€\n"),
    want: ["é", "€"],
  },
  {
    name: "a UTF-8 byte order mark stays",
    charset: "UTF-8",
    bytes: Buffer.from("\ufeffa\n"),
    want: ["\ufeffa"],
  },
  {
    name: "UTF-16 with a mark, big endian (T427)",
    charset: "UTF-16",
    bytes: Buffer.from("\ufeffa\u{1f600}\nb\n", "utf16le").swap16(),
    want: ["a\u{1f600}", "b"],
  },
  {
    name: "UTF-16 with a mark, little endian",
    charset: "UTF-16",
    bytes: Buffer.from("\ufeffa\nb", "utf16le"),
    want: ["a", "b"],
  },
  {
    name: "UTF-16 without a mark is big endian",
    charset: "utf-16",
    bytes: Buffer.from("a\nb", "utf16le").swap16(),
    want: ["a", "b"],
  },
  {
    name: "UTF-16LE with 0A in other places",
    charset: "UTF-16LE",
    bytes: Buffer.from("\u0a0a\u0a00\n\u000b\u0a41\n", "utf16le"),
    want: ["\u0a0a\u0a00", "\u000b\u0a41"],
  },
  {
    name: "UTF-16BE with 0A in other places",
    charset: "UTF-16BE",
    bytes: Buffer.from("\u0a0a\u0a00\n\u000b\u0a41\n", "utf16le").swap16(),
    want: ["\u0a0a\u0a00", "\u000b\u0a41"],
  },
  {
    name: "Shift_JIS (T428)",
    charset: "Shift_JIS",
    bytes: Buffer.from([0x83, 0x65, 0x83, 0x58, 0x0a, 0x83, 0x67, 0x0a]),
    want: ["テス", "ト"],
  },
  {
    name: "ISO-8859-1 with every high byte",
    charset: "ISO-8859-1",
    bytes: Buffer.from([0x80, 0x9f, 0xe9, 0x0a]),
    want: ["\u0080\u009fé"],
  },
  { name: "windows-1252", charset: "windows-1252", bytes: Buffer.from([0x80, 0x0a]), want: ["€"] },
];
for (const { name, charset, bytes, want } of charsetCases) {
  void test(`it reads ${name}`, async () => {
    for (const readMax of [1, 3, 1000]) {
      const { bodies, offsets } = await cut(bytes, { charset, readMax });
      assert.deepEqual(texts(bodies), want);
      assert.equal(offsets.at(-1), bytes.length);
    }
  });
}

void test("a Shift_JIS line over the limit is cut between characters", async () => {
  const bytes = Buffer.from([0x83, 0x65, 0x83, 0x58, 0x83, 0x67, 0x41, 0x0a]);
  const given = { charset: "Shift_JIS", properties: { maxLineLength: "2" } };
  const { bodies, offsets } = await cut(bytes, given);
  assert.deepEqual(texts(bodies), ["テス", "トA", ""]);
  assert.deepEqual(offsets, [4, 7, 8]);
});

const invalidCases: {
  name: string;
  charset: string;
  bytes: number[];
  replace: string;
  ignore: string;
}[] = [
  {
    name: "broken UTF-8 (T430, T431)",
    charset: "UTF-8",
    bytes: [0x61, 0xff, 0xe2, 0x82, 0x62],
    replace: "a\ufffd\ufffdb",
    ignore: "ab",
  },
  {
    name: "broken UTF-8 beside a real U+FFFD",
    charset: "UTF-8",
    bytes: [0x61, 0xe2, 0xef, 0xbf, 0xbd, 0x62],
    replace: "a\ufffd\ufffdb",
    ignore: "a\ufffdb",
  },
  {
    name: "Latin-1 bytes read as ASCII (T432, T433)",
    charset: "US-ASCII",
    bytes: [0x61, 0xe9, 0x62],
    replace: "a\ufffdb",
    ignore: "ab",
  },
  {
    name: "a cut Shift_JIS character",
    charset: "Shift_JIS",
    bytes: [0x83],
    replace: "\ufffd",
    ignore: "",
  },
  {
    name: "half a UTF-16 unit",
    charset: "UTF-16LE",
    bytes: [0x61, 0, 0x62],
    replace: "a\ufffd",
    ignore: "a",
  },
];
for (const { name, charset, bytes, replace, ignore } of invalidCases) {
  void test(`${name} is replaced, ignored, or refused as UNDECODABLE, as the policy says (T429)`, async () => {
    const content = Buffer.from(bytes);
    assert.deepEqual(texts((await cut(content, { charset, policy: "REPLACE" })).bodies), [replace]);
    assert.deepEqual(texts((await cut(content, { charset, policy: "IGNORE" })).bodies), [ignore]);
    const lines = open(content, { charset, policy: "FAIL" });
    await assert.rejects(lines.read(1), isUndecodable);
    await assert.rejects(lines.read(1), isUndecodable, "and again");
  });
}

void test("lines before one that cannot be decoded are given first", async () => {
  const content = Buffer.from("good 1\ngood 2\nbad \xff\ngood 3\n", "latin1");
  const lines = open(content);
  assert.deepEqual(texts((await lines.read(100)).map((event) => event.body)), ["good 1", "good 2"]);
  await assert.rejects(lines.read(100), (error) => {
    assert.ok(isUndecodable(error));
    assert.match((error as MillraceError).message, /\/spool\/a\.log.*bytes 14 to 19/);
    return true;
  });
});

void test("a read that fails loses no line that was cut before it", async () => {
  const content = Buffer.from("1\n2\n3\n4");
  for (let failsAt = 1; failsAt <= 12; failsAt++) {
    let reads = 0;
    const lines = createLineDeserializer(
      {
        path: "/spool/a.log",
        startOffset: 0,
        charset: "UTF-8",
        decodeErrorPolicy: "FAIL",
        read(into, offset, _length, position) {
          if (++reads === failsAt) return Promise.reject(new Error("EIO"));
          return Promise.resolve(content.copy(into, offset, position, position + 1));
        },
      },
      optionsOf(options, {}),
      () => {},
    );
    const bodies: Buffer[] = [];
    let failures = 0;
    for (;;) {
      const events = await lines.read(9).catch(() => {
        failures++;
        return undefined;
      });
      if (events === undefined) continue;
      if (events.length === 0) break;
      bodies.push(...events.map((event) => event.body));
    }
    assert.deepEqual(texts(bodies), ["1", "2", "3", "4"], `failed at ${failsAt}`);
    assert.ok(failures <= 1 && reads >= 8);
  }
});

void test("a charset nobody knows is refused before anything is read: CONFIG_INVALID", () => {
  assert.throws(() => open(Buffer.alloc(0), { charset: "UTF-99" }), { code: "CONFIG_INVALID" });
});

const outputCases: { charset: string; want: number[] }[] = [
  { charset: "UTF8", want: [0x61, 0xc3, 0xa9, 0xe2, 0x82, 0xac] },
  { charset: "ascii", want: [0x61, 0x3f, 0x3f] },
  { charset: "iso-8859-1", want: [0x61, 0xe9, 0x3f] },
  { charset: "utf-16le", want: [0x61, 0, 0xe9, 0, 0xac, 0x20] },
  { charset: "utf-16be", want: [0, 0x61, 0, 0xe9, 0x20, 0xac] },
  { charset: "utf-16", want: [0xfe, 0xff, 0, 0x61, 0, 0xe9, 0x20, 0xac] },
];
for (const { charset, want } of outputCases) {
  void test(`a body is written in outputCharset ${charset}, "?" for what it lacks`, async () => {
    const { bodies } = await cut(Buffer.from("aé€\n"), { properties: { outputCharset: charset } });
    assert.deepEqual(bodies, [Buffer.from(want)]);
  });
}

void test("any content, cut anywhere, gives the lines a plain split gives, at exact offsets", async () => {
  const random = createSeededRandom(7);
  let lineCount = 0;
  for (let round = 0; round < 300; round++) {
    const content = Buffer.from(
      Array.from({ length: random.integer(200) }, () => "ab\n€\r"[random.integer(5)]).join(""),
    );
    const lines = content.toString().split("\n");
    if (lines.at(-1) === "") lines.pop();
    const { bodies, offsets } = await cut(
      content,
      { readMax: 1 + random.integer(20) },
      1 + random.integer(9),
    );
    assert.deepEqual(texts(bodies), lines);
    const resumeAt = random.integer(offsets.length + 1);
    const startOffset = resumeAt === 0 ? 0 : (offsets[resumeAt - 1] as number);
    assert.deepEqual(texts((await cut(content, { startOffset })).bodies), lines.slice(resumeAt));
    lineCount += lines.length;
  }
  assert.ok(lineCount > 3000, `${lineCount} lines only`);
});

void test("a split is logged once and counted each time", async () => {
  const context = partContext();
  const make = await deserializer.create(optionsOf(options, { maxLineLength: "2" }), context);
  const content = Buffer.from("abcde\nabcde\n");
  const lines = make({
    path: "/spool/long.log",
    startOffset: 0,
    charset: "UTF-8",
    decodeErrorPolicy: "FAIL",
    read: (into, offset, _length, position) =>
      Promise.resolve(content.copy(into, offset, position)),
  });
  assert.equal((await lines.read(100)).length, 6);
  assert.equal(context.metrics.value("millrace_source_lines_split_total"), 4);
  assert.equal(context.log.lines.length, 1);
  assert.equal(context.log.lines[0]?.detail["path"], "/spool/long.log");
});

function isUndecodable(error: unknown): boolean {
  return error instanceof MillraceError && error.code === "UNDECODABLE";
}
