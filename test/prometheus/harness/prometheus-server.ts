import {
  type Child,
  freePort,
  placeFile,
  startChild,
  tempDirectory,
  waitFor,
} from "@millrace/testing";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { stringify } from "yaml";

export interface Alert {
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state: "pending" | "firing";
}

export interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

/** A Prometheus of its own for one test: scrapes every second, evaluates every second. */
export interface PrometheusServer {
  /** Scrapes this port from now on, as part of a cluster. Returns the label `instance`. */
  watch(port: number, cluster: string): Promise<string>;
  alerts(): Promise<readonly Alert[]>;
  query(expression: string): Promise<readonly Sample[]>;
  get<T>(path: string): Promise<T>;
  output(): string;
}

export async function startPrometheus(
  test: TestContext,
  binary: string,
  rules: string,
): Promise<PrometheusServer> {
  const folder = await tempDirectory(test);
  const port = await freePort();
  const targets: { targets: string[]; labels: { cluster: string } }[] = [];
  let writing = Promise.resolve();
  const targetsFile = join(folder, "targets.json");
  const configFile = join(folder, "prometheus.yml");
  await writeFile(targetsFile, "[]");
  await writeFile(join(folder, "rules.yaml"), rules);
  await writeFile(
    configFile,
    stringify({
      global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" },
      rule_files: [join(folder, "rules.yaml")],
      scrape_configs: [
        {
          job_name: "millrace",
          file_sd_configs: [{ files: [targetsFile], refresh_interval: "2s" }],
        },
      ],
    }),
  );
  const child: Child = startChild(test, {
    command: [
      binary,
      `--config.file=${configFile}`,
      `--storage.tsdb.path=${join(folder, "data")}`,
      `--web.listen-address=127.0.0.1:${port}`,
      "--log.level=warn",
    ],
  });
  const url = `http://127.0.0.1:${port}`;

  async function get<T>(path: string): Promise<T> {
    const response = await fetch(`${url}/api/v1/${path}`, { signal: AbortSignal.timeout(10_000) });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return ((await response.json()) as { data: T }).data;
  }

  const isReady = async (): Promise<boolean> => {
    if (child.exit !== undefined) throw new Error(`Prometheus ended:\n${child.output()}`);
    return (await fetch(`${url}/-/ready`).catch(() => undefined))?.ok === true;
  };
  await waitFor("Prometheus to be ready", isReady, 60_000);

  return {
    get,
    output: () => child.output(),
    async watch(scraped, cluster) {
      const instance = `127.0.0.1:${scraped}`;
      targets.push({ targets: [instance], labels: { cluster } });
      // Scenarios that play at a time would take each other's new file away.
      await (writing = writing.then(async () => {
        await placeFile(targetsFile, JSON.stringify(targets));
      }));
      return instance;
    },
    async alerts() {
      return (await get<{ alerts: Alert[] }>("alerts")).alerts;
    },
    async query(expression) {
      const path = `query?query=${encodeURIComponent(expression)}`;
      return (await get<{ result: Sample[] }>(path)).result;
    },
  };
}
