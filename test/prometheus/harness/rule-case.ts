import { spawnSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";

/** What a rule says of series that are given, scraped every 30 seconds from minute 0. */
export interface RuleCase {
  /** A sentence about the alert: "is silent while ...". */
  readonly title: string;
  /** Series to promtool's values: "0x10 3+1x10" is eleven zeros, then 3, 4 ... 13; "_x3" is three missed scrapes. */
  readonly series: Readonly<Record<string, string>>;
  /** Minute to the number of alerts that fire then. */
  readonly firing: Readonly<Record<number, number>>;
}

const common = { agent: "edge", role: "edge", component: "c", job: "millrace", instance: "n1:1" };

/** `name{agent="edge", ...}` as an agent's series comes out of a scrape, these labels changed or added. */
export function series(name: string, labels: Readonly<Record<string, string>> = {}): string {
  const pairs = Object.entries({ ...common, ...labels }).map(([key, value]) => `${key}="${value}"`);
  return `${name}{${pairs.join(",")}}`;
}

/** A process's own metric: it has the target's labels only. */
export function target(name: string, labels: Readonly<Record<string, string>> = {}): string {
  const { job, instance } = { ...common, ...labels };
  return `${name}{job="${job}",instance="${instance}"}`;
}

/** The same series as one Prometheus has them that stores those of several clusters. */
export function inCluster(
  cluster: string,
  given: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(given).map(([name, values]) => [
      name.replace("{", `{cluster="${cluster}",`),
      values,
    ]),
  );
}

/** Lets promtool judge the cases of one alert. Returns what it found wrong, or an empty text. */
export async function judgeCases(
  promtool: string,
  rulesFile: string,
  alert: string,
  cases: readonly RuleCase[],
  folder: string,
): Promise<string> {
  const file = join(folder, `${alert}.yaml`);
  const firing = `count(ALERTS{alertname="${alert}", alertstate="firing"}) or vector(0)`;
  const text = stringify({
    rule_files: [rulesFile],
    evaluation_interval: "30s",
    tests: cases.map(({ title, series: given, firing: wanted }) => ({
      name: title,
      interval: "30s",
      input_series: Object.entries(given).map(([name, values]) => ({ series: name, values })),
      promql_expr_test: Object.entries(wanted).map(([minute, count]) => ({
        expr: firing,
        eval_time: `${minute}m`,
        exp_samples: [{ labels: "{}", value: count }],
      })),
    })),
  });
  await writeFile(file, text);
  const { status, stdout, stderr } = spawnSync(promtool, ["test", "rules", file], {
    encoding: "utf8",
    timeout: 60_000,
  });
  return status === 0 ? "" : `promtool ended with ${status}\n${stdout}${stderr}`;
}
