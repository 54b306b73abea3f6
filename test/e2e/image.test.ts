/** The image's content, started as a container's would be: own namespaces, read-only root, no capabilities. */
import { freePort, projectRoot, tempDirectory, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { chmodSync, chownSync, existsSync, lstatSync, mkdirSync } from "node:fs";
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { test, type TestContext } from "node:test";
import {
  assembleRoot,
  firstProcessOf,
  type ImageMounts,
  type ImageUser,
  startInRoot,
  whyNoNamespaces,
} from "./image-root.ts";

const millrace = "/app/packages/cli/bin/millrace.js";
const patienceMs = 60_000;

interface Place extends ImageMounts {
  readonly port: number;
  readonly monitoringPort: number;
}

/** Mounts as a pod has them: a state directory of the agent's user, and logs of root's. */
async function createPlace(t: TestContext, user: ImageUser): Promise<Place> {
  const folder = await tempDirectory(t);
  const [state, config, logs] = ["state", "config", "logs"].map((name) => {
    const path = join(folder, name);
    mkdirSync(path, { mode: 0o755 });
    return path;
  }) as [string, string, string];
  chownSync(state, user.uid, user.gid);
  chmodSync(state, 0o700);
  return { state, config, logs, port: await freePort(), monitoringPort: await freePort() };
}

const collectorConf = ({ port }: Place): string => `
collector.sources = in
collector.channels = disk
collector.sinks = out
collector.sources.in.type = avro
collector.sources.in.channels = disk
collector.sources.in.bind = 127.0.0.1
collector.sources.in.port = ${port}
collector.channels.disk.type = file
collector.channels.disk.dataDirs = /var/lib/millrace/channel
collector.sinks.out.type = file_roll
collector.sinks.out.channel = disk
collector.sinks.out.sink.directory = /var/lib/millrace
collector.sinks.out.sink.pathManager.prefix = out-
collector.sinks.out.sink.rollInterval = 0
`;

/** An edge that reads files, as on a node. */
const edgeConf = (): string => `
edge.sources = logs
edge.channels = disk
edge.sinks = out
edge.sources.logs.type = TAILDIR
edge.sources.logs.channels = disk
edge.sources.logs.filegroups = all
edge.sources.logs.filegroups.all = /var/log/pods/.*[.]log
edge.sources.logs.positionFile = /var/lib/millrace/positions.json
edge.channels.disk.type = file
edge.channels.disk.dataDirs = /var/lib/millrace/channel
edge.sinks.out.type = file_roll
edge.sinks.out.channel = disk
edge.sinks.out.sink.directory = /var/lib/millrace
edge.sinks.out.sink.pathManager.prefix = out-
edge.sinks.out.sink.rollInterval = 0
`;

/** A pod's words. */
const agentWords = (name: string, { monitoringPort }: Place): string[] => [
  millrace,
  ...["agent", "-n", name, "-f", `/etc/millrace/${name}.conf`],
  "-Dflume.monitoring.type=prometheus",
  `-Dflume.monitoring.port=${monitoringPort}`,
  `-Dmillrace.role=${name}`,
  "-Dmillrace.drainSeconds=20",
  "-Dmillrace.socket=/run/millrace/agent.sock",
];

async function untilReady({ monitoringPort }: Place, ended: () => string | undefined) {
  const isReady = async (): Promise<boolean> => {
    const output = ended();
    if (output !== undefined) throw new Error(`the agent ended:\n${output}`);
    const url = `http://127.0.0.1:${monitoringPort}/readyz`;
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) }).catch(() => undefined);
    return response?.ok === true;
  };
  await waitFor("the agent in the image to be ready", isReady, patienceMs);
}

/** The lines of all that its sink wrote. */
function arrived({ state }: Place): string[] {
  const outputs = readdirSync(state).filter((name) => name.startsWith("out-"));
  return outputs.flatMap((name) =>
    readFileSync(join(state, name), "utf8").split("\n").filter(Boolean),
  );
}

/** The sets of capabilities of a process that are not empty. */
function capabilities(pid: number): string[] {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const sets = [...status.matchAll(/^(Cap\w+):\s+([0-9a-f]+)$/gm)];
  assert.equal(sets.length, 5);
  return sets.filter(([, , bits]) => !/^0+$/.test(bits ?? "")).map(([line]) => line);
}

test("the image, without an engine, in namespaces of its own", async (suite) => {
  const why = whyNoNamespaces();
  if (why !== undefined) return suite.skip(`the image's root is not entered: ${why}`);
  if (!existsSync(join(projectRoot, "packages/cli/dist/main.js"))) {
    throw new Error("nothing is built: run npm run build");
  }
  const root = join(await tempDirectory(suite), "root");

  await suite.test("one script assembles production files that every user may read", (t) => {
    t.diagnostic(assembleRoot(root).trim().replace(root, "beside the base image"));

    const app = join(root, "app");
    const files = readdirSync(app, { recursive: true }).map(String);
    assert.ok(files.length > 1000, `only ${files.length} files`);
    const waste = /(\.(ts|map|md|node|test\.js)|^node_modules\/(typescript|tsx|better-sqlite3))$/;
    const licence = /\/(licen[cs]e|notice|copying)[^/]*$/i;
    assert.deepEqual(
      files.filter((name) => waste.test(name) && !licence.test(`/${name}`)),
      [],
    );
    const bytes = files.reduce((sum, name) => sum + lstatSync(join(app, name)).size, 0);
    assert.ok(bytes < 25_000_000, `${bytes} bytes`);
    for (const name of files) {
      const { mode } = lstatSync(join(app, name));
      if (lstatSync(join(app, name)).isSymbolicLink()) continue;
      assert.equal(mode & 0o444, 0o444, `${name} cannot be read by all`);
      assert.equal(mode & 0o022, 0, `${name} can be written by others`);
    }
  });

  await suite.test("both commands are on the path, and lead to what can be executed", () => {
    for (const name of ["millrace", "flume-ng"]) {
      const path = join(root, "usr/local/bin", name);
      const target = resolve(dirname(path), readlinkSync(path));
      assert.equal(target, join(root, "app/packages/cli/bin", `${name}.js`));
      assert.equal(lstatSync(target).mode & 0o111, 0o111);
    }
  });

  await suite.test("its SBOM names exactly the packages that are in it", () => {
    const bill = JSON.parse(
      readFileSync(join(root, "usr/share/sbom/millrace.cdx.json"), "utf8"),
    ) as { bomFormat: string; components: { name: string; version: string; licenses?: [] }[] };
    assert.equal(bill.bomFormat, "CycloneDX");
    const named = bill.components.map(({ name, version }) => `${name}@${version}`).sort();
    const app = join(root, "app");
    // A file package.json with a version is a package; some packages have such files inside.
    const present = readdirSync(app, { recursive: true })
      .map(String)
      .filter((name) => /(^packages|node_modules)\/(@[^/]+\/)?[^/]+\/package\.json$/.test(name))
      .filter((name) => !name.startsWith("node_modules/@millrace/"))
      .map((name) => JSON.parse(readFileSync(join(app, name), "utf8")) as Record<string, string>)
      .map(({ name, version }) => `${name}@${version}`)
      .sort();
    assert.deepEqual([...new Set(named)], [...new Set(present)]);
    assert.ok(present.length > 80, `only ${present.length} packages`);
    assert.ok(bill.components.filter(({ licenses }) => licenses !== undefined).length > 80);
  });

  await suite.test("every file of ours in it loads: nothing it imports was left out", async (t) => {
    const user = { uid: 10001, gid: 10001 };
    const script = `
      const { readdirSync } = await import("node:fs");
      const files = readdirSync("/app/packages", { recursive: true })
        .filter((name) => /^[^/]+\\/dist\\/.*\\.js$/.test(name) && !/(main|worker)\\.js$/.test(name));
      for (const name of files) await import("/app/packages/" + name).catch((error) => {
        console.log("cannot load " + name + ": " + error.message);
        process.exitCode = 1;
      });
      console.log("loaded " + files.length);
      process.exit();`;
    const words = ["--input-type=module", "-e", script];
    const child = startInRoot(t, root, await createPlace(t, user), user, words);
    assert.deepEqual(await child.exited(patienceMs), { code: 0, signal: null }, child.output());
    assert.ok(Number(/loaded (\d+)/.exec(child.output())?.[1]) > 300, child.output());
  });

  const users = [
    { user: { uid: 10001, gid: 10001 }, name: "user 10001" },
    { user: { uid: 1000730000, gid: 0 }, name: "a user of chance of group 0" },
  ];
  for (const { user, name } of users) {
    await suite.test(
      `as ${name} on a read-only root it takes an event, delivers it, and drains on SIGTERM`,
      async (t) => {
        const place = await createPlace(t, user);
        writeFileSync(join(place.config, "collector.conf"), collectorConf(place));
        const agent = startInRoot(t, root, place, user, agentWords("collector", place));
        await untilReady(place, () => (agent.exit === undefined ? undefined : agent.output()));

        const pid = firstProcessOf(agent);
        assert.deepEqual(capabilities(pid), []);
        assert.match(readFileSync(`/proc/${pid}/status`, "utf8"), /^NSpid:\t\d+\t1$/m);
        const write = `require("node:fs").writeFileSync("/app/written", "")`;
        const vandal = startInRoot(t, root, place, user, ["-e", write]);
        assert.equal((await vandal.exited()).code, 1);
        assert.match(vandal.output(), /EROFS|EACCES/);

        writeFileSync(join(place.logs, "events"), "first\nsecond\n", { mode: 0o644 });
        const sent = startInRoot(t, root, place, user, [
          ...[millrace, "avro-client", "-H", "127.0.0.1", "-p", String(place.port)],
          ...["-F", "/var/log/pods/events"],
        ]);
        assert.deepEqual(await sent.exited(), { code: 0, signal: null }, sent.output());
        await waitFor("both events", () => arrived(place).length === 2, patienceMs).catch(
          (error: Error) => {
            throw new Error(`${error.message}; the agent said:\n${agent.output()}`);
          },
        );
        assert.deepEqual(arrived(place), ["first", "second"]);

        agent.signal("SIGTERM");
        assert.deepEqual(await agent.exited(20_000), { code: 0, signal: null }, agent.output());
      },
    );
  }

  await suite.test(
    "as root without any capability it reads root's logs and keeps them on root's directory",
    async (t) => {
      const user = { uid: 0, gid: 0 };
      const place = await createPlace(t, user);
      writeFileSync(join(place.config, "edge.conf"), edgeConf());
      writeFileSync(join(place.logs, "0.log"), "of root\n", { mode: 0o640 });
      const agent = startInRoot(t, root, place, user, agentWords("edge", place));
      await untilReady(place, () => (agent.exit === undefined ? undefined : agent.output()));
      await waitFor("the log's line", () => arrived(place).length === 1, patienceMs);
      assert.deepEqual(arrived(place), ["of root"]);
      assert.deepEqual(capabilities(firstProcessOf(agent)), []);
      agent.signal("SIGTERM");
      assert.deepEqual(await agent.exited(20_000), { code: 0, signal: null }, agent.output());

      // Root without capabilities is an owner like others: not what another user keeps to itself.
      writeFileSync(join(place.logs, "other"), "of another\n", { mode: 0o600 });
      chownSync(join(place.logs, "other"), 12345, 12345);
      const read = `require("node:fs").readFileSync("/var/log/pods/other")`;
      const curious = startInRoot(t, root, place, user, ["-e", read]);
      assert.equal((await curious.exited()).code, 1);
      assert.match(curious.output(), /EACCES/);
    },
  );
});
