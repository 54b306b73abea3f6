import type { ComponentKind, Definition, RegistryEntry } from "@millrace/core";
import { didYouMean } from "./nearest-name.ts";

/** What a type named in a configuration stands for. */
export interface RegistryIndex {
  find(kind: ComponentKind, type: string): RegistryEntry | undefined;
  /** The definition behind an entry, loaded once. */
  load<K extends ComponentKind>(kind: K, entry: RegistryEntry): Promise<Definition<K>>;
  /** What to say of a type that is not there: the nearest name, or all of them. */
  unknownType(kind: ComponentKind, type: string): string;
}

/** Types and aliases are compared without regard to case, as Flume's names are. */
export function createRegistryIndex(registry: readonly RegistryEntry[]): RegistryIndex {
  const entries = new Map<string, RegistryEntry>();
  const loaded = new Map<RegistryEntry, Promise<Definition>>();
  const keyOf = (kind: ComponentKind, name: string): string => `${kind} ${name.toLowerCase()}`;
  for (const entry of registry) {
    for (const name of [entry.type, ...entry.aliases]) entries.set(keyOf(entry.kind, name), entry);
  }
  return {
    find: (kind, type) => entries.get(keyOf(kind, type)),
    load<K extends ComponentKind>(kind: K, entry: RegistryEntry) {
      let definition = loaded.get(entry);
      if (definition === undefined) loaded.set(entry, (definition = entry.load()));
      return definition.then((value) => {
        if (value.kind !== kind) throw new Error(`${entry.type} is a ${value.kind}, not a ${kind}`);
        return value as unknown as Definition<K>;
      });
    },
    unknownType(kind, type) {
      const types = registry.filter((entry) => entry.kind === kind).map((entry) => entry.type);
      const short = type.slice(type.lastIndexOf(".") + 1);
      const meant =
        didYouMean(type, types) || didYouMean(short, [...types, ...classNames(registry, kind)]);
      const known = types.length === 0 ? "" : `; known types: ${types.sort().join(", ")}`;
      const java = meant === "" && isJavaClass(type) ? `; ${portIt}` : "";
      return `"${type}" is not a type of ${kind} that this agent has${meant || java || known}`;
    },
  };
}

const portIt =
  "it names a Java class, and no Java runs here: port it as docs/plugins.md shows, with this name " +
  "among its aliases or with the path of the module as the type";

/** `com.acme.flume.MySink$Builder` */
function isJavaClass(type: string): boolean {
  return /^([a-z_]\w*\.)+[A-Z][\w$]*$/.test(type);
}

/** The last parts of the class names that are aliases: an operator may have the package wrong. */
function classNames(registry: readonly RegistryEntry[], kind: ComponentKind): string[] {
  return registry
    .filter((entry) => entry.kind === kind)
    .flatMap(({ aliases }) => aliases.map((alias) => alias.slice(alias.lastIndexOf(".") + 1)));
}
