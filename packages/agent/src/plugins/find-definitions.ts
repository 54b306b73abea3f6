import type { ComponentKind, Definition } from "@millrace/core";

/** A definition with the name it is exported by. */
export interface FoundDefinition {
  readonly exportName: string;
  readonly definition: Definition;
}

const kinds: Readonly<Record<ComponentKind, true>> = {
  source: true,
  channel: true,
  sink: true,
  interceptor: true,
  selector: true,
  "sink-processor": true,
  "sink-selector": true,
  serializer: true,
  deserializer: true,
};

/**
 * What a module exports that was made by one of `define*`. A CommonJS module, or a default export
 * that is an object of them, is looked into.
 */
export function findDefinitions(module: Record<string, unknown>): FoundDefinition[] {
  const found = new Map<Definition, FoundDefinition>();
  const look = (exports: object): void => {
    for (const [exportName, value] of Object.entries(exports)) {
      if (isDefinition(value) && !found.has(value)) {
        found.set(value, { exportName, definition: whole(value) });
      }
    }
  };
  look(module);
  const inner = module["default"];
  if (typeof inner === "object" && inner !== null && !isDefinition(inner)) look(inner);
  return [...found.values()];
}

/** The one that is meant: the only one of its kind, or the one that the name behind `#` says. */
export function chooseDefinition<K extends ComponentKind>(
  found: readonly FoundDefinition[],
  kind: K,
  exportName: string | undefined,
): { readonly definition: Definition<K> } | { readonly problem: string } {
  const ofKind = found.filter(({ definition }) => definition.kind === kind);
  const fitting =
    exportName === undefined
      ? ofKind
      : ofKind.filter((one) => one.exportName === exportName || one.definition.type === exportName);
  const [first, ...others] = fitting;
  if (first !== undefined && others.length === 0) {
    return { definition: first.definition as unknown as Definition<K> };
  }
  if (first !== undefined) {
    const names = fitting.map((one) => `#${one.exportName}`).join(", ");
    return { problem: `exports several of kind ${kind}: add one of ${names}` };
  }
  const which = exportName === undefined ? `no ${kind}` : `no ${kind} ${exportName}`;
  const list = found.map(({ exportName: name, definition }) => `${definition.kind} ${name}`);
  const has = list.length === 0 ? "nothing made by a define function" : list.join(", ");
  return { problem: `exports ${which}; it exports ${has}` };
}

function isDefinition(value: unknown): value is Definition {
  if (typeof value !== "object" || value === null) return false;
  const { kind, type, options, create } = value as Partial<Record<keyof Definition, unknown>>;
  return (
    typeof kind === "string" &&
    Object.hasOwn(kinds, kind) &&
    typeof type === "string" &&
    typeof options === "object" &&
    options !== null &&
    typeof create === "function"
  );
}

/** What JavaScript may have left out, for those who read it. */
function whole(definition: Definition): Definition {
  const { aliases = [], summary = "", example = "" } = definition as Partial<Definition>;
  return { ...definition, aliases, summary, example };
}
