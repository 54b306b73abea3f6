import { isMap, isPair, isScalar, isSeq, type Node, parseDocument, visit } from "yaml";

/** A value of the chart: what stands behind it, and what its comment says. */
export interface ChartValue {
  /** "collector.storage.size". */
  readonly path: string;
  /** As JSON. */
  readonly given: string;
  readonly says: string;
}

const marker = /^ ?-- /;

/**
 * The values of a `values.yaml` that have a comment beginning with `# --`, in their order. A value without one is
 * a mistake, unless what is inside it has them.
 */
export function readChartValues(text: string): ChartValue[] {
  const document = parseDocument(text);
  const values: ChartValue[] = [];
  const described = new Set<string>();
  visit(document, {
    Pair(_, pair, ancestors) {
      const path = [...ancestors, pair]
        .filter((node) => isPair(node))
        .map(({ key }) => String(isScalar(key) ? key.value : key));
      const name = path.join(".");
      const isInside = path.some((_key, index) => described.has(path.slice(0, index).join(".")));
      if (isInside) return visit.SKIP;
      const says = commentOf(pair.key as Node, ancestors.at(-1) as Node | undefined, pair);
      if (says === undefined) {
        if (isMap(pair.value) && pair.value.items.length > 0) return undefined;
        throw new Error(`values.yaml: ${name} has no comment that begins with "# --"`);
      }
      described.add(name);
      const { value } = pair;
      const given = isMap(value) || isSeq(value) ? value.toJSON() : isScalar(value) ? value.value : null; // prettier-ignore
      values.push({ path: name, given: JSON.stringify(given), says });
      return visit.SKIP;
    },
  });
  return values;
}

/** The comment of a map's first key stands before the map. */
function commentOf(key: Node, map: Node | undefined, pair: unknown): string | undefined {
  const isFirst = isMap(map) && map.items[0] === pair;
  const before = key.commentBefore ?? (isFirst ? map.commentBefore : undefined);
  // What stands behind an empty line is about something else.
  const text = before?.split(/\n\s*\n/).at(-1);
  if (text === undefined || !marker.test(text)) return undefined;
  return text.replace(marker, "").replace(/\n ?/g, " ").trim();
}

/** The table of the chart's README. */
export function valuesTable(values: readonly ChartValue[]): string {
  const rows = values.map(({ path, given, says }) => {
    const cell = given.replace(/\|/g, "\\|");
    return `| \`${path}\` | \`${cell}\` | ${says.replace(/\|/g, "\\|")} |`;
  });
  return ["| Value | Default | Meaning |", "|---|---|---|", ...rows].join("\n");
}
