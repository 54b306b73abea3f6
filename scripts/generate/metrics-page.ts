import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

interface DeclaredMetric {
  readonly name: string;
  readonly kind: string;
  readonly help: string;
  readonly labels: readonly string[];
}

const intro = `# Metrics

Every metric that Millrace's components declare, made from the code by \`npm run generate\`. Each carries \`agent\`, \`component\` and
\`type\` (the component's), and \`role\` where the agent has one (\`-Dmillrace.role\`); never a path, a pod or an address. Counters of the
file channel go on over restarts. Beside them stand Flume's own counters as \`Flume_<name>\`, and what \`prom-client\` says of
the process (\`process_*\`, \`nodejs_*\`). Those of a sink group carry \`group\` and \`sink\` too.

\`-Dflume.monitoring.type=prometheus\` serves them at \`/metrics\`; of any type they are at \`/metrics/prometheus\`. The alerts that watch them:
[the runbook](runbook.md).

| metric | kind | labels | says |
|---|---|---|---|
`;

/** docs/metrics.md: what the product's code declares, found where it declares it. */
export async function metricsPage(root: string): Promise<string> {
  const metrics = new Map<string, DeclaredMetric>();
  for (const file of await productFiles(join(root, "packages"))) {
    for (const metric of metricsIn(await readFile(file, "utf8"))) {
      const known = metrics.get(metric.name);
      metrics.set(metric.name, known === undefined ? metric : joined(known, metric));
    }
  }
  const rows = [...metrics.values()]
    .sort((a, b) => a.name.localeCompare(b.name))
    .map(({ help, kind, labels, name }) => `| \`${name}\` | ${kind} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${help} |`); // prettier-ignore
  return `${intro}${rows.join("\n")}\n`;
}

const literal = String.raw`(?:"(?:[^"\\]|\\.)*"|\`(?:[^\`\\$]|\\.)*\`)`;
const helpText = String.raw`${literal}(?:\s*\+\s*${literal})*`;
const nameFirst = new RegExp(String.raw`"(millrace_\w+)",\s*(${helpText})`, "g");

function* metricsIn(code: string): Generator<DeclaredMetric> {
  const texts = new Map(
    [...code.matchAll(new RegExp(String.raw`const (\w+) =\s*(${literal})`, "g"))].map(
      ([, name = "", text = ""]) => [name, textOf(text)],
    ),
  );
  for (const match of code.matchAll(nameFirst)) {
    const [whole, name = "", help = ""] = match;
    yield metric(code, match.index, match.index + whole.length, name, textOf(help));
  }
  for (const match of code.matchAll(/\((\w+|"millrace_\w+"),\s*(\w+|"[^"]+")\s*[,)]/g)) {
    const [whole, nameWord = "", helpWord = ""] = match;
    const read = (word: string): string | undefined =>
      word.startsWith('"') ? word.slice(1, -1) : texts.get(word);
    const [name, help] = [read(nameWord), read(helpWord)];
    if (name?.startsWith("millrace_") !== true || help === undefined) continue;
    yield metric(code, match.index, match.index + whole.length, name, help);
  }
}

function metric(code: string, at: number, end: number, name: string, help: string) {
  const before = code.slice(Math.max(0, at - 40), code.indexOf("(", at) === at ? at + 1 : at);
  const called = /\.(counter|gauge|histogram)\(\s*$/.exec(before)?.[1];
  const behind = /^[^;]*?\{\s*([\w:,\s"[\]=!?().]*?)\}\s*,?\s*\)/.exec(code.slice(end, end + 200));
  const labels = [...(behind?.[1] ?? "").matchAll(/(?:^|,)\s*(\w+)/g)].map(
    ([, label = ""]) => label,
  );
  const kind = called ?? (name.endsWith("_total") ? "counter" : "gauge");
  return { name, kind, help, labels };
}

function joined(a: DeclaredMetric, b: DeclaredMetric): DeclaredMetric {
  return { ...a, labels: [...new Set([...a.labels, ...b.labels])] };
}

function textOf(literals: string): string {
  return [...literals.matchAll(new RegExp(literal, "g"))]
    .map(([text]) => text.slice(1, -1).replace(/\\(.)/g, "$1"))
    .join("");
}

async function productFiles(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!/^(node_modules|dist|testing)$/.test(entry.name))
        found.push(...(await productFiles(path)));
    } else if (entry.name.endsWith(".ts") && !entry.name.endsWith(".test.ts")) found.push(path);
  }
  return found.sort();
}
