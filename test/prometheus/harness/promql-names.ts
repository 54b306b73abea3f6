const words = new Set(
  "and or unless by without on ignoring group_left group_right offset bool inf nan start end".split(
    " ",
  ),
);

/** Names of the metrics that an expression asks for. */
export function metricNames(expr: string): Set<string> {
  const named = [...expr.matchAll(/__name__=~?"([^"]*)"/g)].flatMap(([, names = ""]) =>
    names.split("|"),
  );
  const bare = expr
    .replaceAll(/"(?:[^"\\]|\\.)*"/g, "")
    .replaceAll(/\{[^}]*\}|\[[^\]]*\]/g, "")
    .replaceAll(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, " ");
  const found = [...bare.matchAll(/[a-zA-Z_:][a-zA-Z0-9_:]*\b(?!\s*\()/g)]
    .filter(({ index }) => !/[0-9.]/.test(bare[index - 1] ?? ""))
    .map(([name]) => name)
    .filter((name) => !words.has(name.toLowerCase()));
  return new Set([...named, ...found]);
}

/** Names of the labels that it picks, joins or sums by. */
export function labelNames(expr: string): Set<string> {
  const bare = expr.replaceAll(/"(?:[^"\\]|\\.)*"/g, '""');
  const matched = [...bare.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*""/g)].map(([, name = ""]) => name);
  const lists = bare.matchAll(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g);
  const listed = [...lists].flatMap(([, list = ""]) => list.split(",").map((name) => name.trim()));
  return new Set([...matched, ...listed].filter((name) => name !== ""));
}
