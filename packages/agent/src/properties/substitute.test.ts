import assert from "node:assert/strict";
import test from "node:test";
import { createSubstitution } from "./substitute.ts";

const env = { HOST: "h1", EMPTY: "", NAME: "x", INDIRECT: "${sys:port}" };
const defines = new Map([
  ["port", "4141"],
  ["x", "HOST"],
]);

function resolve(value: string, more: Record<string, string> = {}, with_ = defines) {
  const properties = new Map(Object.entries({ ...more, subject: value }));
  return createSubstitution({ env, defines: with_, properties }).resolve("subject");
}

const cases: { name: string; value: string; more?: Record<string, string>; want: string }[] = [
  { name: "text without references stays (T575)", value: "a$b{c}", want: "a$b{c}" },
  { name: "an environment variable is replaced (T575)", value: "${env:HOST}", want: "h1" },
  { name: "several are replaced", value: "<${env:HOST}:${sys:port}>", want: "<h1:4141>" },
  { name: "an empty environment variable is found", value: "[${env:EMPTY:-d}]", want: "[]" },
  {
    name: "another property is replaced by its full key",
    value: "${a.b}",
    more: { "a.b": "v" },
    want: "v",
  },
  {
    name: "a chain of properties is resolved (T574)",
    value: "${one}",
    more: { one: "1 ${two}", two: "2 ${env:HOST}" },
    want: "1 2 h1",
  },
  {
    name: "the inner reference of a name comes first (T574)",
    value: "${env:${sys:x}}",
    want: "h1",
  },
  {
    name: "a value found is resolved again",
    value: "${v}",
    more: { v: "${env:HOST}" },
    want: "h1",
  },
  { name: "a missing one takes its default", value: "${env:NONE:-d:-e}", want: "d:-e" },
  { name: "a default may refer", value: "${env:NONE:-${sys:port}}", want: "4141" },
  { name: "a found one leaves its default alone", value: "${env:HOST:-${env:NONE}}", want: "h1" },
  {
    name: "a doubled dollar sign is a way to write a reference as text",
    value: "$${env:HOST} ${env:HOST}",
    want: "${env:HOST} h1",
  },
];

for (const { name, value, more, want } of cases) {
  void test(`in substitution ${name}`, () =>
    assert.deepEqual(resolve(value, more), { value: want, unresolved: [] }));
}

const unresolved: { name: string; value: string; left: string[] }[] = [
  { name: "an unset environment variable", value: "a ${env:NONE} b", left: ["${env:NONE}"] },
  { name: "an unknown kind of look-up (T579)", value: "${const:x}", left: ["${const:x}"] },
  { name: "an unknown property", value: "${nothing}", left: ["${nothing}"] },
  { name: "a reference without an end", value: "${env:HOST", left: ["${env:HOST"] },
];

for (const { name, value, left } of unresolved) {
  void test(`${name} stays as it is written, and is reported`, () =>
    assert.deepEqual(resolve(value), { value, unresolved: left }));
}

void test("a bare name is an environment variable only with Flume's resolver property (T576, T577, T578)", () => {
  assert.deepEqual(resolve("${NAME} ${HOST}").unresolved, ["${NAME}", "${HOST}"]);
  const resolver = "org.apache.flume.node.EnvVarResolverProperties";
  const with_ = new Map([["propertiesImplementation", resolver]]);
  assert.equal(resolve("${NAME} and ${HOST}", {}, with_).value, "x and h1");
  assert.equal(resolve("${NAME}", { NAME: "property" }, with_).value, "property");
});

void test("a circle of properties is a problem that names the way round", () => {
  const result = resolve("${a}", { a: "${b}", b: "${a}" });
  assert.equal(result.problem, "refers to itself: subject -> a -> b -> a");
  assert.equal(result.value, "${a}");
});

void test("a text that doubles with every step is refused before it fills the memory", () => {
  const more: Record<string, string> = { v0: "x".repeat(64) };
  for (let i = 1; i < 30; i++) more[`v${i}`] = `\${v${i - 1}}\${v${i - 1}}`;
  assert.match(resolve("${v29}", more).problem ?? "", /grows over 1048576 characters/);
});

void test("deep nesting is refused instead of exhausting the stack", () => {
  assert.match(resolve("${".repeat(5000) + "}".repeat(5000)).problem ?? "", /nested more than 50/);
});

void test("references say which properties are used as variables", () => {
  const properties = new Map([
    ["a1.x", "${common.host}"],
    ["common.host", "h"],
  ]);
  const substitution = createSubstitution({ env, defines, properties });
  substitution.resolve("a1.x");
  assert.deepEqual([...substitution.referenced], ["common.host"]);
});
