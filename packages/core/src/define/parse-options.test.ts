import assert from "node:assert/strict";
import { test } from "node:test";
import { boolean, ignored, integer, part, prefixed, text } from "./options.ts";
import { parseOptions } from "./parse-options.ts";

const specs = {
  directory: text("sink.directory", "Where files go", { required: true }),
  batchSize: integer("sink.batchSize", "Events a batch", { default: 100, min: 1 }),
  compress: boolean("compress", "Whether files are compressed", { default: false }),
  headers: prefixed("headers", "Headers to set"),
  serializer: part("sink.serializer", "serializer", "How events are written", "TEXT"),
  threads: ignored("threads", "One event loop needs no threads."),
};

const parse = (properties: Record<string, string>) =>
  parseOptions(specs, new Map(Object.entries(properties)));

void test("options have their defaults where nothing is given", () => {
  const { options, problems, unknownKeys, notes } = parse({ "sink.directory": "/data" });
  assert.deepEqual([problems, unknownKeys, notes], [[], [], []]);
  assert.equal(options.directory, "/data");
  assert.equal(options.batchSize, 100);
  assert.equal(options.compress, false);
  assert.equal(options.headers.size, 0);
  assert.deepEqual(options.serializer, {
    kind: "serializer",
    type: "TEXT",
    prefix: "sink.serializer.",
    properties: new Map(),
  });
});

void test("every problem is reported at once, with its key and what is expected", () => {
  const { problems } = parse({ "sink.batchSize": "0", compress: "yes" });
  assert.deepEqual(
    problems.map(({ key, expected }) => [key, expected]),
    [
      ["sink.directory", "text"],
      ["sink.batchSize", "whole number, at least 1"],
      ["compress", "true or false"],
    ],
  );
  assert.match(problems[0]?.message ?? "", /is required/);
  assert.match(problems[1]?.message ?? "", /"0" is not a whole number, at least 1/);
});

void test("keys that no option reads are named", () => {
  const { unknownKeys } = parse({
    "sink.directory": "/data",
    "sink.batchsize": "5",
    header: "x",
    "headers.": "no name behind the dot",
    "sink.serializerr": "TEXT",
  });
  assert.deepEqual(unknownKeys, ["sink.batchsize", "header", "headers.", "sink.serializerr"]);
});

void test("an ignored option that is given leaves a note that says why", () => {
  const { notes, unknownKeys, options } = parse({ "sink.directory": "/data", threads: "8" });
  assert.deepEqual(notes, [{ key: "threads", why: "One event loop needs no threads." }]);
  assert.deepEqual(unknownKeys, []);
  assert.equal("threads" in options, false);
});

void test("a prefix takes everything below it, a part its type and its own properties", () => {
  const { options, unknownKeys } = parse({
    "sink.directory": "/data",
    "headers.a": "1",
    "headers.b.c": "2",
    "headers.__proto__": "3",
    "sink.serializer": "avro_event",
    "sink.serializer.compressionCodec": "snappy",
  });
  assert.deepEqual(unknownKeys, []);
  assert.deepEqual([...options.headers], [["a", "1"], ["b.c", "2"], ["__proto__", "3"]]); // prettier-ignore
  assert.equal(options.serializer.type, "avro_event");
  assert.deepEqual([...options.serializer.properties], [["compressionCodec", "snappy"]]);
});

void test("a prefix that is required and has nothing below it is a problem", () => {
  const required = { groups: prefixed("filegroups", "Groups of files", { required: true }) };
  const { problems } = parseOptions(required, new Map());
  assert.deepEqual(
    problems.map(({ key, message }) => [key, message]),
    [["filegroups.<name>", "is required"]],
  );
  assert.deepEqual(parseOptions(required, new Map([["filegroups.f1", "/x"]])).problems, []);
});

void test("a key that an option has is not also its part's", () => {
  const specs = {
    selector: part("selector", "sink-selector", "Whose turn it is", "round_robin"),
    maxTimeOutMs: integer("selector.maxTimeOut", "The longest time", { default: 30_000 }),
  };
  const given = { "selector.maxTimeOut": "9", "selector.weight.k1": "3" };
  const { options, unknownKeys } = parseOptions(specs, new Map(Object.entries(given)));
  assert.equal(options.maxTimeOutMs, 9);
  assert.deepEqual([...options.selector.properties], [["weight.k1", "3"]]);
  assert.deepEqual(unknownKeys, []);
});
