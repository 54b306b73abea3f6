import { type Random, systemRuntime } from "@millrace/core";
import {
  createCollectingLog,
  createSeededRandom,
  createTestCluster,
  type KubernetesApiServer,
  waitFor,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { acquirePodDirectory, podDirectoryLimits } from "./pod-directory.ts";

const seeds = Number(process.env["SEEDS"] ?? 3);
const firstSeed = Number(process.env["SEED"] ?? 1);
const steps = 120;

const limits = {
  ...podDirectoryLimits,
  api: { ...podDirectoryLimits.api, answerMs: 150, watchQuietMs: 200, pagePods: 3 },
  pauses: { firstMs: 2, maxMs: 10, livedMs: 10_000 },
};

/** Everything that can happen to a server and its pods; faults as often as changes. */
function step(server: KubernetesApiServer, random: Random, serial: number): string {
  const name = `p${random.integer(12)}`;
  const node = `n${1 + random.integer(2)}`;
  const live = server.store.pods(undefined).find(({ metadata }) => metadata.name === name);
  switch (random.integer(16)) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4: {
      if (live === undefined) server.put({ name, uid: `u${serial}`, node });
      else {
        const { uid } = live.metadata;
        const labels = { changed: `${serial}` };
        server.put({ name, uid, node: live.spec.nodeName, labels });
      }
      return "put";
    }
    case 5:
    case 6:
    case 7:
      server.remove(name);
      return "remove";
    case 8:
      server.compact();
      return "compact";
    case 9:
      server.bookmark();
      return "bookmark";
    case 10:
      server.endWatches();
      return "end";
    case 11:
      server.cutWatches();
      return "cut";
    case 12:
      server.hangWatches();
      return "hang";
    case 13:
      server.sendToWatches(random.integer(2) === 0 ? "}\n" : `{"type":"ERROR","object":{}}\n`);
      return "nonsense";
    case 14:
      server.goneAs = random.integer(2) === 0 ? "status" : "event";
      return "gone";
    default: {
      const faults = ["none", "cut", "garbage", { status: 503 }, "none"] as const;
      server.fault = faults[random.integer(faults.length)] ?? "none";
      return "fault";
    }
  }
}

/** The pods of the node, as the server has them and as the directory should. */
function expected(server: KubernetesApiServer): string[] {
  return server.store
    .pods("n1")
    .map(
      ({ metadata }) => `${metadata.uid} ${metadata.name} ${metadata.labels?.["changed"] ?? ""}`,
    );
}

void test("whatever happens to pods and server, the directory ends with the server's pods", async (t) => {
  const happened = new Map<string, number>();
  const restarts = { value: 0 };
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    const random = createSeededRandom(seed);
    const { server, tokenFile, caFile } = await createTestCluster(t);
    server.pageCachedLists = true;
    server.pieces = random;
    const settings = { apiServer: server.url, tokenFile, caFile, nodeName: "n1", waitMs: 1000 };
    const log = createCollectingLog();
    const directory = acquirePodDirectory(settings, systemRuntime, log, restarts, limits);
    const everOnOther = new Set<string>();
    for (let i = 0; i < steps; i++) {
      const what = step(server, random, seed * 10_000 + i);
      happened.set(what, (happened.get(what) ?? 0) + 1);
      for (const { metadata } of server.store.pods("n2")) everOnOther.add(metadata.uid);
      // Now and then the watcher has its turn, or all faults would hit one and the same connection.
      const turns = random.integer(6);
      for (let turn = 0; turn < turns; turn++)
        await new Promise((resolve) => setTimeout(resolve, 1));
    }
    server.fault = "none";
    const want = expected(server);
    const have = (): string[] =>
      want.map((line) => {
        const pod = directory.peek(line.split(" ")[0] as string);
        return `${pod?.uid} ${pod?.name} ${pod?.labels.get("changed") ?? ""}`;
      });
    await waitFor(`seed ${seed}: ${want.join(", ")}`, () => {
      return directory.counts.pods === want.length && have().join() === want.join();
    });
    for (const uid of everOnOther) {
      assert.equal(directory.peek(uid), undefined, `seed ${seed}: ${uid} is another node's`);
    }
    for (const { metadata } of server.store.pods("n1")) {
      assert.equal(directory.peekName("default", metadata.name)?.uid, metadata.uid, `seed ${seed}`);
    }
    directory.release();
    await server.stop();
  }
  assert.ok((happened.get("put") ?? 0) > seeds * 20, "pods changed");
  assert.equal(happened.size, 10, "everything happened");
  assert.ok(restarts.value > seeds * 5, `${restarts.value} restarts`);
});
