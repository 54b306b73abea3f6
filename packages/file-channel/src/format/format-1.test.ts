import { type FileSystem, readWholeFile, systemRuntime } from "@millrace/core";
import { channelContext, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gunzipSync } from "node:zlib";
import { createFileChannel } from "../file-channel.ts";
import { drain, never, put, range, simDisk, sized } from "../sim-channel.test.ts";

/**
 * Written by the version before format 2 (commit 375f523, killed at the end): events 1 to 60 in
 * batches of 5, the first 23 taken and all but the 20th settled, then 61 to 64.
 */
const golden = join(import.meta.dirname, "format-1.golden.json");

test("a directory of format 1, as the version before left it when it was killed, is read whole", async (context) => {
  const directory = await tempDirectory(context);
  const files = JSON.parse(await readFile(golden, "utf8")) as Record<string, string>;
  for (const [name, packed] of Object.entries(files)) {
    await writeFile(join(directory, name), gunzipSync(Buffer.from(packed, "base64")));
  }
  const made = createFileChannel(
    { dataDirs: [directory], minimumRequiredSpaceBytes: 0 },
    channelContext({ runtime: systemRuntime }),
  );
  await made.start(never);
  assert.equal(made.size, 42);
  const got: number[] = [];
  while (made.size > 0) {
    const take = await made.beginTake(100);
    for (const { headers, body } of take.batch) {
      const n = Number(headers.get("n"));
      assert.equal(body.toString(), `event ${n} `.repeat(40));
      got.push(n);
    }
    await take.commit();
  }
  assert.deepEqual(got, [20, ...range(24, 64)]);
  await made.stop(never);
});

type Sim = ReturnType<typeof simDisk>;

/** The formats that the files claim, spares included: the version before looks at each header. */
async function formatsOn(sim: Sim): Promise<Set<number>> {
  const { files } = sim.disk.boot();
  const formats = new Set<number>();
  for (const path of sim.disk.paths("/data/one")) {
    const bytes = await readHead(files, path);
    if (bytes.toString("latin1", 0, 8) !== "MLRCSEG\n") continue;
    formats.add(bytes.readUInt16BE(8));
    if (bytes.readUInt16BE(8) !== 1) continue;
    const later = bytes.subarray(76, 4092).some((byte) => byte !== 0);
    assert.ok(!later && bytes.readUInt32BE(10) === 0, `${path} has nothing format 1 did not have`);
  }
  return formats;
}

async function readHead(files: FileSystem, path: string): Promise<Buffer> {
  return (await readWholeFile(files, path)).subarray(0, 4096);
}

const secret = { keys: { key: async () => Buffer.alloc(32, 5) }, activeKey: "a" };

for (const options of [{}, { formatVersion: 1 as const }]) {
  test(`what needs nothing new is written in format 1, with ${JSON.stringify(options)}`, async () => {
    const sim = simDisk();
    for (const life of [0, 1]) {
      const { channel } = await sim.open(options);
      for (let id = 1; id <= 40; id += 4) await put(channel, sized(id, id + 3, 500));
      await drain(channel, 30);
      if (life === 0) sim.disk.kill();
      else await channel.stop(never);
    }
    assert.deepEqual(await formatsOn(sim), new Set([1]));
  });
}

test("an encrypted channel goes back to format 1: a start says what is still later, and once drained nothing is", async () => {
  const sim = simDisk();
  const { channel } = await sim.open(secret);
  for (let id = 1; id <= 40; id += 4) await put(channel, sized(id, id + 3, 500));
  await channel.stop(never);
  assert.deepEqual(await formatsOn(sim), new Set([2]));
  const back = { keys: secret.keys, formatVersion: 1 as const };
  const warned = ({ context }: { context: { log: { lines: readonly { message: string }[] } } }) =>
    context.log.lines.some(({ message }) =>
      message.includes("with 40 events are of a later format"),
    );
  const first = await sim.open(back);
  assert.ok(warned(first));
  await drain(first.channel, 40);
  await first.channel.stop(never);
  const second = await sim.open(back);
  await put(second.channel, sized(1, 3, 500));
  assert.ok(!warned(second));
  await second.channel.stop(never);
  assert.deepEqual(await formatsOn(sim), new Set([1]));
});
