import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { readChartValues, valuesTable } from "./chart-values.ts";

export const chartFolder = "deploy/helm/millrace";

/** What the chart has from elsewhere: a chart can read no files beside its own folder. */
const copies = [
  { from: "deploy/prometheus/millrace.rules.yaml", to: "files/millrace.rules.yaml" },
  { from: "deploy/grafana/millrace.json", to: "files/millrace-dashboard.json" },
];

const begin = "<!-- values -->";
const end = "<!-- /values -->";

/** The generated files of the chart, by their path from the root. */
export async function chartFiles(root: string): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  for (const { from, to } of copies) {
    files.set(`${chartFolder}/${to}`, await readFile(join(root, from), "utf8"));
  }
  const values = readChartValues(await readFile(join(root, chartFolder, "values.yaml"), "utf8"));
  const path = `${chartFolder}/README.md`;
  const readme = await readFile(join(root, path), "utf8");
  const [head, rest] = readme.split(begin);
  const tail = rest?.split(end)[1];
  if (head === undefined || tail === undefined) {
    throw new Error(`${path} has no lines ${begin} and ${end}`);
  }
  files.set(path, `${head}${begin}\n\n${valuesTable(values)}\n\n${end}${tail}`);
  return files;
}
