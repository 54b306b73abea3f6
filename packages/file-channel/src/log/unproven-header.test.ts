import assert from "node:assert/strict";
import { test } from "node:test";
import { drain, never, put, range, simDisk, sized } from "../sim-channel.test.ts";

type Sim = ReturnType<typeof simDisk>;

function segmentsOf({ disk }: Sim): string[] {
  return disk.paths("/data").filter((path) => /\/0.*seg$/.test(path)).sort(); // prettier-ignore
}

/** Two lives: in the newest segment events 1 to 20, in the one before nothing any more. */
async function written(): Promise<{ sim: Sim; newest: string }> {
  const sim = simDisk();
  const before = await sim.open({ segmentBytes: 64 * 1024 });
  await put(before.channel, sized(101, 104, 700));
  await before.channel.stop(never);
  const { channel } = await sim.open({ segmentBytes: 64 * 1024 });
  await drain(channel, 4);
  for (let i = 0; i < 4; i++) await put(channel, sized(1 + i * 5, 5 + i * 5, 700));
  await channel.stop(never);
  return { sim, newest: segmentsOf(sim).at(-1) as string };
}

for (const { what, spans } of [
  { what: "its header and its first record", spans: [[0, 8192]] },
  { what: "its header and a few bytes of its snapshot", spans: [[0, 512], [4096 + 60, 4]] }, // prettier-ignore
  { what: "its header and the head of its snapshot", spans: [[0, 4096], [4096, 40]] }, // prettier-ignore
] as const) {
  test(`the newest segment without ${what} refuses the start, which else would go by the one before`, async () => {
    const { sim, newest } = await written();
    for (const [at, bytes] of spans) sim.disk.file(newest).damage(at, Buffer.alloc(bytes));
    await assert.rejects(sim.open(), { code: "CHANNEL_CORRUPT", message: new RegExp(newest) });
  });
}

test("a file used before whose new header was never written refuses no start, though its first record rotted", async () => {
  const { sim, newest } = await written();
  const { files } = sim.disk.boot();
  const used = `${newest.slice(0, -7)}0ff.seg`;
  const handle = await files.open(used, "create");
  const { content, length } = sim.disk.file(newest);
  await handle.write([Buffer.from(content.subarray(0, length))], 0);
  await handle.datasync();
  sim.disk.file(used).damage(4096, Buffer.alloc(512));
  const { channel } = await sim.open();
  assert.deepEqual(await drain(channel, 20), range(1, 20));
  await channel.stop(never);
});
