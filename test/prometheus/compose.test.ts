/** docker-compose.yml as processes, with a real Consul and a real Prometheus that reads the shipped rules. */
import {
  createNumberedWriter,
  createOracle,
  createSeededRandom,
  projectRoot,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { startCompose } from "../e2e/compose-run.ts";
import { findGoProgram, installedGoProgram, mustRun } from "../harness/go-program.ts";
import { consulProgram, prometheusProgram } from "../harness/go-programs.ts";

const patienceMs = 60_000;

/** What a run without TLS, sink groups, Kubernetes and direct channels has no series of. */
const ofOthers =
  /^(kube_|millrace_(tls_|sink_member_|kubernetes_|direct_|source_(unread_lost|files_set_aside)_))|_bucket$/;

interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

test("Prometheus of docker-compose.yml sees every agent, the rules work, and nothing alerts", async (t) => {
  if (findGoProgram(t, prometheusProgram) === undefined) return;
  const hasConsul = installedGoProgram(consulProgram) !== undefined;
  assert.ok(hasConsul || !mustRun(), "there is no Consul");
  t.diagnostic(hasConsul ? "with Consul" : "without Consul: there is none");
  const run = await startCompose(t, []);
  const services = run.services();
  const url = services.get("prometheus")?.url ?? "";
  const ask = async <T>(path: string): Promise<T> => {
    const response = await fetch(`${url}/api/v1/${path}`, { signal: AbortSignal.timeout(5000) });
    assert.equal(response.status, 200, path);
    return ((await response.json()) as { data: T }).data;
  };
  const query = async (expression: string): Promise<readonly Sample[]> =>
    (await ask<{ result: Sample[] }>(`query?query=${encodeURIComponent(expression)}`)).result;

  const volumes = join(run.state, "volumes");
  const oracle = createOracle({
    positionFile: join(volumes, "edge", "positions.json"),
    outputs: { one: join(volumes, "collector-1"), two: join(volumes, "collector-2") },
  });
  const writer = await createNumberedWriter({
    judge: oracle.judge,
    paths: [join(run.logs, "a.log")],
    linesPerSecond: 300,
    lineBytes: 100,
    random: createSeededRandom(6),
  });
  t.after(() => writer.close());
  writer.start();
  await oracle.progress(300, patienceMs);

  const isUp = async (): Promise<boolean> =>
    (await query('up{job="millrace"} == 1')).length === 3 &&
    (await query("millrace_sink_delivered_events_total > 0")).length === 3;
  await waitFor("Prometheus to see three agents that deliver", isUp, patienceMs);
  if (hasConsul) {
    const consul = services.get("consul")?.url ?? "";
    const response = await fetch(`${consul}/v1/health/service/collectors?passing=true`);
    assert.equal(((await response.json()) as unknown[]).length, 2);
  }

  // Every rule was evaluated on these series without an error, and finds nothing wrong.
  interface Rule {
    readonly name: string;
    readonly health: string;
    readonly lastError?: string;
    readonly state?: string;
  }
  const rules = async (): Promise<readonly Rule[]> =>
    (await ask<{ groups: { rules: Rule[] }[] }>("rules")).groups.flatMap((each) => each.rules);
  const evaluated = async (): Promise<boolean> =>
    (await rules()).every(({ health }) => health !== "unknown");
  await waitFor("every rule to be evaluated", evaluated, patienceMs);
  const found = await rules();
  assert.ok(found.length >= 8, `only ${found.length} rules`);
  assert.deepEqual(
    found.filter(({ health }) => health !== "ok").map(({ name, lastError }) => [name, lastError]),
    [],
  );
  assert.deepEqual(
    found.filter(({ state }) => state === "firing").map(({ name }) => name),
    [],
  );

  // What rules and dashboard ask for is there.
  const names = new Set(await ask<string[]>("label/__name__/values"));
  const asked = [
    ...expressions(parse(read("deploy/prometheus/millrace.rules.yaml"))),
    ...expressions(JSON.parse(read("deploy/grafana/millrace.json"))),
  ].flatMap(
    (expression) => expression.match(/\b(millrace_[a-z_]+|Flume_\w+|kube_[a-z_]+)\b/g) ?? [],
  );
  const series = [...new Set(asked)].filter((name) => !ofOthers.test(name));
  assert.ok(series.length >= 10, `only ${series.length} series`);
  assert.deepEqual(
    series.filter((name) => !names.has(name)),
    [],
  );
  t.diagnostic(`${found.length} rules, ${series.length} series, ${names.size} names in all`);

  await writer.stop();
  await oracle.settled(patienceMs);
  assert.match(await run.stop(), /stopping\nstopped\n$/);
});

function read(path: string): string {
  return readFileSync(join(projectRoot, path), "utf8");
}

/** Every text under a key `expr`, however deep. */
function expressions(value: unknown): string[] {
  if (value === null || typeof value !== "object") return [];
  return Object.entries(value).flatMap(([key, inner]) =>
    key === "expr" && typeof inner === "string" ? [inner] : expressions(inner),
  );
}
