import { createSeededRandom, type Operation } from "@millrace/testing";
import assert from "node:assert/strict";
import crypto from "node:crypto";
import { syncBuiltinESMExports } from "node:module";
import { after, before, test } from "node:test";
import { never, put, simDisk, sized } from "../sim-channel.test.ts";

const seeds = Number(process.env["SEEDS"] ?? 25);
const options = { keys: { key: async () => Buffer.alloc(32, 7) }, activeKey: "a" };
const seal = crypto.createCipheriv;
/** Every use of a nonce, as data key and nonce, since it was last emptied. */
const uses: string[] = [];

before(() => {
  const record = (algorithm: "aes-256-gcm", key: Buffer, nonce: Buffer) => {
    uses.push(`${key.toString("hex")} ${nonce.toString("hex")}`);
    return seal(algorithm, key, nonce);
  };
  Object.assign(crypto, { createCipheriv: record });
  syncBuiltinESMExports();
});

after(() => {
  Object.assign(crypto, { createCipheriv: seal });
  syncBuiltinESMExports();
});

test("no nonce is used twice under one data key, through failing and short writes, crashes and recycled files", async () => {
  const counts = { uses: 0, keys: 0, failed: 0, short: 0, crashes: 0, recycled: 0, refused: 0 };
  for (let seed = 1; seed <= seeds; seed++) {
    uses.length = 0;
    await histories(seed, counts);
    assert.equal(new Set(uses).size, uses.length, `seed ${seed}`);
    counts.uses += uses.length;
    counts.keys += new Set(uses.map((use) => use.slice(0, 64))).size;
  }
  const { keys, failed, short, crashes, recycled } = counts;
  assert.ok(counts.uses > seeds * 30 && keys > seeds * 5, JSON.stringify(counts));
  assert.ok(failed > seeds && short > seeds && crashes > seeds, JSON.stringify(counts));
  assert.ok(recycled > seeds / 2, JSON.stringify(counts));
});

/** Some lives of one channel on a bad disk, each ended by a kill or a power cut. */
async function histories(
  seed: number,
  counts: { failed: number; short: number; crashes: number; recycled: number; refused: number },
): Promise<void> {
  const sim = simDisk({ seed });
  const random = createSeededRandom(seed);
  let bad = false;
  const fault = ({ kind, path }: Operation): "EIO" | "ENOSPC" | "short" | undefined => {
    if (kind === "rename" && !path.includes("spare-") && path.endsWith(".seg")) counts.recycled++;
    if (!bad || kind !== "write") return undefined;
    const dice = random.integer(10);
    if (dice < 2) counts.failed++;
    if (dice >= 2 && dice < 5) counts.short++;
    return dice < 1 ? "EIO" : dice < 2 ? "ENOSPC" : dice < 5 ? "short" : undefined;
  };
  for (let life = 0; life < 4; life++) {
    bad = false;
    const made = sim.make(options, { fault });
    await made.channel.start(never);
    bad = true;
    for (let i = 0; i < 12; i++) {
      const count = 1 + random.integer(6);
      const sizes = 50 + random.integer(900);
      await put(made.channel, sized(1, count, sizes)).catch(() => counts.refused++);
      if (made.channel.size > 0 && random.integer(2) === 0) {
        const take = await made.channel.beginTake(8);
        await take.commit();
      }
    }
    counts.crashes++;
    if (random.integer(2) === 0) sim.disk.kill();
    else sim.disk.powerCut("mix");
  }
}
