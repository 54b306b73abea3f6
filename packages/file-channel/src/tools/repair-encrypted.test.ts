import { EventBatch, systemRuntime } from "@millrace/core";
import { channelContext, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { createFileChannel } from "../file-channel.ts";
import { createKeyFiles } from "../keys/key-files.ts";
import { never, put, range } from "../sim-channel.test.ts";
import { openRepair } from "./repair.ts";
import { channelStats } from "./stats.ts";

test("an encrypted channel is repaired without its keys, and its events are read with them", async (context) => {
  const root = await tempDirectory(context);
  const keyDir = join(root, "keys");
  await mkdir(keyDir);
  await writeFile(join(keyDir, "k1"), randomBytes(32), { mode: 0o600 });
  const keys = createKeyFiles({ directory: keyDir }, systemRuntime.files, channelContext().log);
  const directory = join(root, "data");
  const options = { dataDirs: [directory], minimumRequiredSpaceBytes: 0, keepAliveMs: 10 };
  const make = () => createFileChannel({ ...options, keys, activeKey: "k1" }, channelContext());
  const channel = make();
  await channel.start(never);
  for (let i = 0; i < 4; i++) {
    const ids = range(i * 10 + 1, i * 10 + 10);
    await put(channel, EventBatch.fromEvents(ids.map((id) => ({ body: Buffer.from(`${id}`) }))));
  }
  await channel.stop(never);
  const runtime = systemRuntime;
  const { segments } = await channelStats([directory], { runtime });
  const [segment] = segments;
  assert.equal(segment?.keyAlias, "k1");
  // The second of four groups, each one record and of one size; and a bit of the header.
  const path = segment?.path ?? "";
  const bytes = await readFile(path);
  const salt = bytes.subarray(46, 54);
  const groups: number[] = [];
  for (let at = 4096; at < bytes.length; at += 512) {
    if (bytes.subarray(at + 8, at + 16).equals(salt) && bytes[at + 22] === 1) groups.push(at);
  }
  assert.equal(groups.length, 4);
  const handle = await open(path, "r+");
  await handle.write(Buffer.from("XX"), 0, 2, (groups[1] as number) + 90);
  await handle.write(Buffer.from("X"), 0, 1, 20);
  await handle.close();
  const repair = await openRepair([directory], { lostDirectory: false }, { runtime });
  assert.equal(repair.plan.lostCount, 10);
  assert.equal(repair.plan.headers.length, 1);
  await repair.run();
  await repair.close();
  assert.ok((await readdir(directory)).some((name) => name.startsWith("set-aside-")));
  const again = make();
  await again.start(never);
  const got: number[] = [];
  while (got.length < 30) {
    const take = await again.beginTake(100);
    for (const { body } of take.batch) got.push(Number(body.toString()));
    await take.commit();
  }
  await again.stop(never);
  assert.deepEqual(got, [...range(1, 10), ...range(21, 40)]);
});
