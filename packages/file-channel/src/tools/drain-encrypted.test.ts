import { silentLog } from "@millrace/core";
import { createFakeClock } from "@millrace/testing";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { bytesOf } from "../disk-image.test.ts";
import { idsOf, put, range, simDisk, sized } from "../sim-channel.test.ts";
import { segmentPaths, toolContext } from "./damaged-channel.test.ts";
import { drainChannel } from "./drain.ts";

const keys = {
  key: (alias: string) => Promise.resolve(createHash("sha256").update(alias).digest()),
};
const observer = { opened() {}, delivered() {}, waiting() {} };

test("drain writes no event of an encrypted channel in plain text, though it writes the last group anew", async () => {
  const sim = simDisk();
  const { channel } = await sim.open({ keys, activeKey: "a" });
  await put(channel, sized(1, 6, 300));
  sim.disk.kill();
  const { runtime } = toolContext(sim.disk);
  const ids: number[] = [];
  const plain: string[] = [];
  const report = await drainChannel(
    ["/data/one"],
    {
      batchSize: 100,
      deliver(batch) {
        ids.push(...idsOf(batch));
        const paths = sim.disk.paths("/data/one");
        plain.push(...paths.filter((path) => bytesOf(sim.disk, path).includes("xxxxxxxx")));
        return Promise.resolve();
      },
    },
    { max: 1000, firstWaitMs: 1, longestWaitMs: 1 },
    { runtime: { ...runtime, clock: createFakeClock() }, keys, log: silentLog, observer },
  );
  assert.deepEqual(plain, []);
  assert.equal(report.left, 0);
  assert.deepEqual(ids, range(1, 6));
  assert.ok(segmentPaths(sim).length > 0);
});
