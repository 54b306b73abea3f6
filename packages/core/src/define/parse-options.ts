import type { OptionSpec, OptionSpecs, OptionsOf } from "./options.ts";

export interface OptionProblem {
  /** Relative to the component: "batchSize", "sink.serializer.appendNewline". */
  readonly key: string;
  readonly message: string;
  readonly expected: string;
}

export interface ParsedOptions<S extends OptionSpecs> {
  /** Whole only when there are no problems. */
  readonly options: OptionsOf<S>;
  readonly problems: readonly OptionProblem[];
  /** Keys given that no option reads. */
  readonly unknownKeys: readonly string[];
  /** Ignored options that were given, with the reason. */
  readonly notes: readonly { readonly key: string; readonly why: string }[];
}

/** Reads a component's properties by its options. Never throws for what an operator wrote. */
export function parseOptions<S extends OptionSpecs>(
  specs: S,
  properties: ReadonlyMap<string, string>,
): ParsedOptions<S> {
  const options: Record<string, unknown> = {};
  const problems: OptionProblem[] = [];
  const notes: { key: string; why: string }[] = [];
  const used = new Set<string>();
  // A key that an option has is not also its part's: `selector.maxTimeOut` beside `selector`.
  const own = new Set(Object.values(specs).map(({ key }) => key));
  for (const [name, spec] of Object.entries(specs)) {
    switch (spec.form) {
      case "ignored":
        used.add(spec.key);
        if (properties.has(spec.key)) notes.push({ key: spec.key, why: spec.description });
        break;
      case "prefix":
        options[name] = takePrefix(properties, `${spec.key}.`, used);
        if (spec.required && (options[name] as Map<string, string>).size === 0)
          problems.push(missing(spec, `${spec.key}.<name>`));
        break;
      case "part":
        used.add(spec.key);
        options[name] = {
          kind: spec.part,
          type: properties.get(spec.key) ?? spec.defaultText,
          prefix: `${spec.key}.`,
          properties: takePrefix(properties, `${spec.key}.`, used, own),
        };
        break;
      case "value": {
        used.add(spec.key);
        const given = properties.get(spec.key);
        if (given === undefined && spec.required) {
          problems.push(missing(spec, spec.key));
          break;
        }
        const parsed = spec.schema.safeParse(given);
        if (parsed.success) options[name] = parsed.data;
        else {
          const expected = parsed.error.issues[0]?.message ?? spec.expects;
          problems.push({ key: spec.key, message: `"${given}" is not a ${expected}`, expected });
        }
        break;
      }
    }
  }
  const unknownKeys = [...properties.keys()].filter((key) => !used.has(key));
  return { options: options as OptionsOf<S>, problems, unknownKeys, notes };
}

function missing(spec: OptionSpec<unknown>, key: string): OptionProblem {
  return { key, message: "is required", expected: spec.expects };
}

function takePrefix(
  properties: ReadonlyMap<string, string>,
  prefix: string,
  used: Set<string>,
  except: ReadonlySet<string> = new Set(),
): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [key, value] of properties) {
    if (!key.startsWith(prefix) || key.length === prefix.length || except.has(key)) continue;
    used.add(key);
    found.set(key.slice(prefix.length), value);
  }
  return found;
}
