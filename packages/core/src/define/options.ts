import { z } from "zod";
import { compileJavaPattern } from "./java-pattern.ts";

/**
 * One property an operator may set. The key is Flume's, relative to the component; the name in
 * code is the key of the options object it stands in. Values arrive as trimmed, non-empty text.
 */
export interface OptionSpec<T> {
  readonly key: string;
  readonly form: "value" | "prefix" | "part" | "ignored";
  readonly description: string;
  /** What is accepted, for tables and messages: "integer >= 1", "true or false". */
  readonly expects: string;
  readonly unit?: string;
  readonly required: boolean;
  /** As an operator would write it; undefined when there is none. */
  readonly defaultText?: string;
  /** Part options only: the kind of component the value names. */
  readonly part?: PartKind;
  readonly schema: z.ZodType<T>;
}

/** Small components that others are made of, named by a property of theirs. */
export type PartKind = "serializer" | "deserializer" | "sink-selector";

/** A part as configured: its type and the properties under its prefix, for `context.makePart`. */
export interface PartRef {
  readonly kind: PartKind;
  readonly type: string;
  /** Where its properties stand, relative to the component, with the dot: "sink.serializer." */
  readonly prefix: string;
  readonly properties: ReadonlyMap<string, string>;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec<unknown>>>;
export type OptionsOf<S extends OptionSpecs> = {
  readonly [N in keyof S]: S[N] extends OptionSpec<infer T> ? T : never;
};

interface Common<T> {
  readonly default?: T;
  readonly unit?: string;
}
type Given<T, C> = C extends { default: T } ? T : C extends { required: true } ? T : T | undefined;

interface NumberLimits extends Common<number> {
  readonly required?: true;
  readonly min?: number;
  readonly max?: number;
}

function spec<T>(
  key: string,
  description: string,
  expects: string,
  schema: z.ZodType<T>,
  common: { default?: T; required?: true; unit?: string },
): OptionSpec<T> {
  const withDefault =
    common.default === undefined ? schema : schema.default(common.default as never);
  const whole =
    common.required === true || common.default !== undefined ? withDefault : schema.optional();
  return {
    key,
    form: "value",
    description,
    expects,
    required: common.required === true,
    ...(common.unit === undefined ? {} : { unit: common.unit }),
    ...(common.default === undefined ? {} : { defaultText: String(common.default) }),
    schema: whole as z.ZodType<T>,
  };
}

/** Any text. */
export function text<C extends Common<string> & { required?: true }>(
  key: string,
  description: string,
  common: C = {} as C,
): OptionSpec<Given<string, C>> {
  return spec(key, description, "text", z.string(), common) as OptionSpec<Given<string, C>>;
}

/** A whole number, written in decimal; Java's int or long as the limits say. */
export function integer<C extends NumberLimits>(
  key: string,
  description: string,
  limits: C = {} as C,
): OptionSpec<Given<number, C>> {
  const min = limits.min ?? 0;
  const max = limits.max ?? Number.MAX_SAFE_INTEGER;
  const expects =
    limits.max === undefined
      ? `whole number, at least ${min}`
      : `whole number from ${min} to ${max}`;
  const schema = z.string().transform((value, check) => {
    const number = /^[+-]?\d+$/.test(value) ? Number(value) : NaN;
    if (number >= min && number <= max) return number;
    check.addIssue({ code: "custom", message: expects });
    return z.NEVER;
  });
  return spec<number>(
    key,
    description,
    expects,
    schema as unknown as z.ZodType<number>,
    limits,
  ) as OptionSpec<Given<number, C>>;
}

/** `true` or `false` in any case. Flume reads any other text as false; here it is an error. */
export function boolean<C extends Common<boolean> & { required?: true }>(
  key: string,
  description: string,
  common: C = {} as C,
): OptionSpec<Given<boolean, C>> {
  const schema = z.string().transform((value, check) => {
    if (/^(true|false)$/i.test(value)) return value.toLowerCase() === "true";
    check.addIssue({ code: "custom", message: "true or false" });
    return z.NEVER;
  });
  return spec<boolean>(
    key,
    description,
    "true or false",
    schema as unknown as z.ZodType<boolean>,
    common,
  ) as OptionSpec<Given<boolean, C>>;
}

/** One of a few words, in any case; the value has the case given here. */
export function choice<const W extends string, C extends Common<NoInfer<W>> & { required?: true }>(
  key: string,
  words: readonly W[],
  description: string,
  common: C = {} as C,
): OptionSpec<Given<W, C>> {
  const expects = words.join(", ").replace(/, ([^,]*)$/, " or $1");
  const schema = z.string().transform((value, check) => {
    const word = words.find((candidate) => candidate.toLowerCase() === value.toLowerCase());
    if (word !== undefined) return word;
    check.addIssue({ code: "custom", message: expects });
    return z.NEVER;
  });
  return spec<W>(
    key,
    description,
    expects,
    schema as unknown as z.ZodType<W>,
    common,
  ) as OptionSpec<Given<W, C>>;
}

/** Several texts, separated by white space, or by commas where Flume has commas. */
export function list(
  key: string,
  description: string,
  common: { separator?: "space" | "comma"; required?: true } = {},
): OptionSpec<readonly string[]> {
  const comma = common.separator === "comma";
  const schema = z.string().transform((value) =>
    value
      .split(comma ? "," : /\s+/)
      .map((item) => item.trim())
      .filter((item) => item !== ""),
  );
  const made = spec<readonly string[]>(
    key,
    description,
    comma ? "texts, separated by commas" : "texts, separated by spaces",
    schema as unknown as z.ZodType<readonly string[]>,
    common.required === true ? { required: true } : { default: [] },
  );
  const { defaultText: _, ...rest } = made;
  return rest;
}

/** A Java regular expression that must match whole names. */
export function pattern<C extends Common<string> & { required?: true }>(
  key: string,
  description: string,
  common: C = {} as C,
): OptionSpec<Given<RegExp, { [K in keyof C]: K extends "default" ? RegExp : C[K] }>> {
  const schema = z.preprocess(
    (value) => value ?? common.default,
    z.string().transform((value, check) => {
      try {
        return compileJavaPattern(value);
      } catch (error) {
        check.addIssue({
          code: "custom",
          message: `regular expression (${(error as Error).message})`,
        });
        return z.NEVER;
      }
    }),
  );
  return {
    key,
    form: "value",
    description,
    expects: "regular expression for the whole name",
    required: common.required === true,
    ...(common.default === undefined ? {} : { defaultText: common.default }),
    schema: (common.default === undefined && common.required !== true
      ? schema.optional()
      : schema) as never,
  };
}

/** Every property under a prefix, the rest of the key to its value: `headers.<group>.<name>`. */
export function prefixed(
  key: string,
  description: string,
  common: { required?: true } = {},
): OptionSpec<ReadonlyMap<string, string>> {
  return {
    key,
    form: "prefix",
    description,
    expects: "any text",
    required: common.required === true,
    schema: z.any() as z.ZodType<ReadonlyMap<string, string>>,
  };
}

/** The type of a part; the part's own properties stand under `<key>.` */
export function part(
  key: string,
  kind: PartKind,
  description: string,
  defaultType: string,
): OptionSpec<PartRef> {
  return {
    key,
    form: "part",
    part: kind,
    description,
    expects: `type of a ${kind}`,
    required: false,
    defaultText: defaultType,
    schema: z.any() as z.ZodType<PartRef>,
  };
}

/** A property of Flume's that means nothing here: accepted, with a note that says why. */
export function ignored(key: string, why: string): OptionSpec<undefined> {
  return {
    key,
    form: "ignored",
    description: why,
    expects: "anything",
    required: false,
    schema: z.any() as z.ZodType<undefined>,
  };
}
