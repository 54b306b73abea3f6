/**
 * References in values, as Flume 1.10 and later replaces them:
 *
 *     ${env:NAME}       an environment variable
 *     ${sys:name}       a -Dname=value of the command line
 *     ${key}            another property of the merged files, by its full key
 *     ${x:-otherwise}   any of them, and what stands when it is not there
 *     ${a${b}}          the inner one first
 *     $${x}             the text ${x}
 *
 * What cannot be resolved stays as it is written. Flume resolves `${key}` in the order of a hash
 * table, so that a chain may or may not resolve; here a chain always does.
 */
export interface Lookups {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly defines: ReadonlyMap<string, string>;
  /** Raw values of the merged property files. */
  readonly properties: ReadonlyMap<string, string>;
}

export interface Substituted {
  readonly value: string;
  /** References that stayed as they were written. */
  readonly unresolved: readonly string[];
  /** What makes the value unusable: a circle, or a text that grows without end. */
  readonly problem?: string;
}

export interface Substitution {
  /** The value of a property with its references replaced; each is worked out once. */
  resolve(key: string): Substituted;
  /** Keys that some resolved value referred to. */
  readonly referenced: ReadonlySet<string>;
}

const depthMax = 50;
const valueLengthMax = 1_048_576;
/** Flume's older setting: `${NAME}` means an environment variable where no property has that name. */
const environmentResolver = "org.apache.flume.node.EnvVarResolverProperties";

class Unusable extends Error {}

export function createSubstitution({ env, defines, properties }: Lookups): Substitution {
  const done = new Map<string, Substituted>();
  const referenced = new Set<string>();
  const bareEnvironment = defines.get("propertiesImplementation") === environmentResolver;

  function resolveProperty(key: string, path: readonly string[]): Substituted {
    const known = done.get(key);
    if (known !== undefined) return known;
    if (path.includes(key)) {
      throw new Unusable(`refers to itself: ${[...path, key].join(" -> ")}`);
    }
    const unresolved: string[] = [];
    const value = expand(properties.get(key) ?? "", [...path, key], unresolved);
    const result = { value, unresolved };
    done.set(key, result);
    return result;
  }

  function expand(text: string, path: readonly string[], unresolved: string[]): string {
    if (path.length > depthMax) throw new Unusable(`is nested more than ${depthMax} deep`);
    let out = "";
    let at = 0;
    for (;;) {
      const start = text.indexOf("${", at);
      if (start < 0) return checkLength(out + text.slice(at));
      if (text[start - 1] === "$" && start > at) {
        out += text.slice(at, start - 1) + "${";
        at = start + 2;
        continue;
      }
      const end = closingBrace(text, start + 2);
      if (end < 0) {
        unresolved.push(text.slice(start));
        return checkLength(out + text.slice(at));
      }
      out += text.slice(at, start);
      out += reference(text.slice(start + 2, end), text.slice(start, end + 1), path, unresolved);
      checkLength(out);
      at = end + 1;
    }
  }

  function reference(
    inner: string,
    asWritten: string,
    path: readonly string[],
    unresolved: string[],
  ): string {
    const split = defaultMark(inner);
    const deeper = [...path, asWritten];
    const name = expand(split < 0 ? inner : inner.slice(0, split), deeper, unresolved);
    const found = lookUp(name, path);
    if (found !== undefined) return found;
    if (split >= 0) return expand(inner.slice(split + 2), deeper, unresolved);
    unresolved.push(asWritten);
    return asWritten;
  }

  function lookUp(name: string, path: readonly string[]): string | undefined {
    if (name.startsWith("env:")) return env[name.slice(4)];
    if (name.startsWith("sys:")) return defines.get(name.slice(4));
    if (properties.has(name)) {
      referenced.add(name);
      return resolveProperty(name, path).value;
    }
    return bareEnvironment ? env[name] : undefined;
  }

  return {
    referenced,
    resolve(key) {
      try {
        return resolveProperty(key, []);
      } catch (error) {
        if (!(error instanceof Unusable)) throw error;
        const result = {
          value: properties.get(key) ?? "",
          unresolved: [],
          problem: error.message,
        };
        done.set(key, result);
        return result;
      }
    },
  };
}

function checkLength(text: string): string {
  if (text.length <= valueLengthMax) return text;
  throw new Unusable(`grows over ${valueLengthMax} characters when its references are replaced`);
}

/** Where the brace stands that closes a reference whose inside begins at `from`, or -1. */
function closingBrace(text: string, from: number): number {
  let open = 1;
  for (let i = from; i < text.length; i++) {
    if (text.startsWith("${", i)) {
      open++;
      i++;
    } else if (text[i] === "}" && --open === 0) return i;
  }
  return -1;
}

/** Where `:-` stands outside inner references, or -1. */
function defaultMark(inner: string): number {
  let open = 0;
  for (let i = 0; i < inner.length; i++) {
    if (inner.startsWith("${", i)) open++;
    else if (inner[i] === "}" && open > 0) open--;
    else if (open === 0 && inner.startsWith(":-", i)) return i;
  }
  return -1;
}
