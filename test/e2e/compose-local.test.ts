/** docker-compose.yml as processes: what it runs works, and goes on when one of them is killed. */
import {
  createNumberedWriter,
  createOracle,
  createSeededRandom,
  projectRoot,
  startChild,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { startCompose } from "./compose-run.ts";

const patienceMs = 60_000;

test("compose:local runs the topology of docker-compose.yml, loses nothing to a kill, and stops in order", async (t) => {
  const run = await startCompose(t, ["consul", "prometheus"]);
  const said = run.child.output();
  assert.match(said, /consul is left out: as asked\n.*the edge has a fixed list instead: 127\.0/);
  assert.match(said, /prometheus is left out: as asked/);
  assert.match(said, /grafana is left out/);
  const services = run.services();
  assert.deepEqual([...services.keys()], ["collector-1", "collector-2", "edge"]);

  const volumes = join(run.state, "volumes");
  const names = ["collector-1", "collector-2"];
  const oracle = createOracle({
    positionFile: join(volumes, "edge", "positions.json"),
    outputs: Object.fromEntries(names.map((name) => [name, join(volumes, name)])),
  });
  const writer = await createNumberedWriter({
    judge: oracle.judge,
    paths: [join(run.logs, "a.log"), join(run.logs, "b.log")],
    linesPerSecond: 500,
    lineBytes: 100,
    random: createSeededRandom(4),
  });
  t.after(() => writer.close());
  writer.start();
  await oracle.progress(500, patienceMs);

  process.kill(services.get("collector-1")?.pid ?? Number.NaN, "SIGKILL");
  await run.child.says("collector-1 ended with SIGKILL: it is started again", patienceMs);
  await oracle.progress(500, patienceMs);
  await waitFor("the killed one to be ready again", () => isReady(services, "collector-1"));

  // The health check of the file itself, at the port that this run has.
  const file = readFileSync(join(projectRoot, "docker-compose.yml"), "utf8");
  const { services: all } = parse(file, { merge: true }) as {
    services: Record<string, { healthcheck: { test: string[] } }>;
  };
  const [, program = "", ...words] = all["edge"]?.healthcheck.test ?? [];
  assert.equal(program, "node");
  const edgePort = new URL(services.get("edge")?.url ?? "").port;
  const healthy = async (port: string): Promise<number | null> => {
    const command = [process.execPath, ...words.map((word) => word.replace("41414", port))];
    return (await startChild(t, { command }).exited()).code;
  };
  assert.equal(await healthy(edgePort), 0);

  await writer.stop();
  await oracle.settled(patienceMs);
  const { issued, missing, unknown, changed } = oracle.judge.verdict();
  assert.deepEqual({ missing, unknown, changed }, { missing: 0, unknown: 0, changed: 0 });
  assert.ok(issued > 1000, `only ${issued} lines were written`);
  for (const name of names) {
    const outputs = readdirSync(join(volumes, name)).filter((each) => each.startsWith("out-"));
    const bytes = outputs.map((each) => readFileSync(join(volumes, name, each)).length);
    assert.ok(Math.max(...bytes) > 1000, `${name} got nothing`);
  }

  assert.match(await run.stop(), /stopping\nstopped\n$/);
  assert.equal(await healthy(edgePort), 1);
  for (const name of ["edge", ...names]) {
    const log = readFileSync(join(run.state, name, "output.log"), "utf8");
    assert.match(log, /the agent has stopped/);
  }
});

test("compose:local leaves nothing running when its terminal is closed", async (t) => {
  const run = await startCompose(t, ["consul", "prometheus", "collector-2", "edge"]);
  const { pid = Number.NaN } = run.services().get("collector-1") ?? {};
  assert.ok(process.kill(pid, 0));
  assert.match(await run.stop("SIGHUP"), /stopping\nstopped\n$/);
  assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
});

async function isReady(
  services: ReadonlyMap<string, { readonly url: string }>,
  name: string,
): Promise<boolean> {
  const url = new URL("/readyz", services.get(name)?.url);
  const response = await fetch(url, { signal: AbortSignal.timeout(2000) }).catch(() => undefined);
  return response?.ok === true;
}
