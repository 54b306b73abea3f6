import assert from "node:assert/strict";
import { test } from "node:test";
import { boolean, choice, integer, list, type OptionSpec, part, pattern, text } from "./options.ts";
import { parseOptions } from "./parse-options.ts";

/** What the option makes of the text; undefined stands for a property that is not given. */
function read<T>(option: OptionSpec<T>, given: string | undefined): T {
  const properties = new Map(given === undefined ? [] : [[option.key, given]]);
  const { options, problems } = parseOptions({ option }, properties);
  if (problems.length > 0) throw new Error(problems.map(({ expected }) => expected).join());
  return options.option as T;
}

interface Case {
  readonly name: string;
  readonly option: OptionSpec<unknown>;
  readonly given: string | undefined;
  readonly want: unknown;
}

const policy = ["round_robin", "random"] as const;
const cases: readonly Case[] = [
  { name: "text", option: text("k", "d"), given: "some  text", want: "some  text" },
  { name: "text not given", option: text("k", "d"), given: undefined, want: undefined },
  {
    name: "text by default",
    option: text("k", "d", { default: "x" }),
    given: undefined,
    want: "x",
  },
  { name: "a number", option: integer("k", "d"), given: "100", want: 100 },
  { name: "a number with a sign", option: integer("k", "d", { min: -5 }), given: "-5", want: -5 },
  { name: "a number with a plus", option: integer("k", "d"), given: "+7", want: 7 },
  { name: "a number with zeros", option: integer("k", "d"), given: "007", want: 7 },
  { name: "no number", option: integer("k", "d"), given: undefined, want: undefined },
  { name: "0 by default", option: integer("k", "d", { default: 0 }), given: undefined, want: 0 },
  { name: "true", option: boolean("k", "d"), given: "TRUE", want: true },
  { name: "false", option: boolean("k", "d", { default: true }), given: "false", want: false },
  { name: "true by default", option: boolean("k", "d", { default: true }), given: undefined, want: true }, // prettier-ignore
  { name: "a word in any case", option: choice("k", policy, "d"), given: "Random", want: "random" },
  { name: "a word by default", option: choice("k", policy, "d", { default: "random" }), given: undefined, want: "random" }, // prettier-ignore
  { name: "a list by spaces", option: list("k", "d"), given: "a  b\tc", want: ["a", "b", "c"] },
  { name: "a list by commas", option: list("k", "d", { separator: "comma" }), given: "a, b c,,d", want: ["a", "b c", "d"] }, // prettier-ignore
  { name: "an empty list", option: list("k", "d"), given: undefined, want: [] },
  { name: "no pattern", option: pattern("k", "d"), given: undefined, want: undefined },
  { name: "a pattern", option: pattern("k", "d"), given: "a|b", want: /^(?:a|b)$/u },
  { name: "a pattern by default", option: pattern("k", "d", { default: "^$" }), given: undefined, want: /^(?:^$)$/u }, // prettier-ignore
];
for (const { name, option, given, want } of cases) {
  void test(`an option reads ${name}`, () => assert.deepEqual(read(option, given), want));
}

const refusals: readonly Omit<Case, "want">[] = [
  { name: "required text that is missing", option: text("k", "d", { required: true }), given: undefined }, // prettier-ignore
  { name: "a required list that is missing", option: list("k", "d", { required: true }), given: undefined }, // prettier-ignore
  { name: "a required pattern that is missing", option: pattern("k", "d", { required: true }), given: undefined }, // prettier-ignore
  { name: "a number below its least", option: integer("k", "d", { min: 1 }), given: "0" },
  { name: "a number above its most", option: integer("k", "d", { max: 9 }), given: "10" },
  { name: "a negative number by itself", option: integer("k", "d"), given: "-1" },
  { name: "a number in hex", option: integer("k", "d"), given: "0x10" },
  { name: "a number with a fraction", option: integer("k", "d"), given: "1.5" },
  { name: "a number with an exponent", option: integer("k", "d"), given: "1e3" },
  { name: "a number with a unit", option: integer("k", "d"), given: "10s" },
  { name: "a number no double holds exactly", option: integer("k", "d"), given: "9007199254740993" }, // prettier-ignore
  { name: "yes for true", option: boolean("k", "d"), given: "yes" },
  { name: "1 for true", option: boolean("k", "d"), given: "1" },
  { name: "a word that is not one of them", option: choice("k", policy, "d"), given: "rand" },
  { name: "a pattern that is none", option: pattern("k", "d"), given: "(" },
];
for (const { name, option, given } of refusals) {
  void test(`an option refuses ${name}`, () => {
    assert.throws(() => read(option, given));
  });
}

void test("a pattern must match whole names", () => {
  const found = read(pattern("k", "d"), "app.*|web");
  assert.ok(found instanceof RegExp);
  assert.deepEqual(
    ["app-1", "web", "web-1", "my app"].filter((name) => found.test(name)),
    ["app-1", "web"],
  );
});

void test("an option tells tables and messages what it is", () => {
  const number = integer("keep-alive", "How long a put waits", { default: 3, unit: "s", max: 60 });
  assert.equal(number.expects, "whole number from 0 to 60");
  assert.deepEqual([number.unit, number.defaultText, number.required], ["s", "3", false]);
  assert.equal(choice("k", ["a", "b", "c"], "d").expects, "a, b or c");
  assert.equal(text("k", "d", { required: true }).required, true);
  assert.equal(list("k", "d").defaultText, undefined);
  assert.equal(part("k", "serializer", "d", "TEXT").defaultText, "TEXT");
  assert.equal(pattern("k", "d", { default: "a" }).defaultText, "a");
});
