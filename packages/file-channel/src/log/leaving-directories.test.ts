import { MillraceError, readWholeFile } from "@millrace/core";
import type { PowerCut } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { drain, never, put, range, simDisk, sized } from "../sim-channel.test.ts";

type Sim = ReturnType<typeof simDisk>;

const [one, two, three] = ["/data/one", "/data/two", "/data/three"] as const;
const all = { dataDirs: [one, two, three] };

/** A channel over three directories, each of which has had segments. Events 1 to 18 were delivered. */
async function used(seed = 1): Promise<Sim> {
  const sim = simDisk({ seed });
  const { channel } = await sim.open(all);
  for (let id = 1; id <= 18; id += 3) await put(channel, sized(id, id + 2, 3000));
  await drain(channel, 18);
  for (const directory of all.dataDirs) assert.ok(segmentsIn(sim, directory).length > 0, directory);
  await channel.stop(never);
  return sim;
}

function segmentsIn(sim: Sim, directory: string): string[] {
  return sim.disk.paths(directory).filter((path) => path.endsWith(".seg"));
}

async function claimIn(sim: Sim, directory: string): Promise<Record<string, unknown>> {
  const { files } = sim.disk.boot();
  const bytes = await readWholeFile(files, `${directory}/channel.json`);
  return JSON.parse(bytes.toString()) as Record<string, unknown>;
}

for (const left of all.dataDirs) {
  test(`${left} leaves when it holds nothing, and its files with it; the others are numbered anew`, async () => {
    const sim = await used();
    const dataDirs = all.dataDirs.filter((directory) => directory !== left);
    const { channel } = await sim.open({ dataDirs });
    assert.deepEqual(sim.disk.paths(left), []);
    for (let id = 31; id <= 60; id += 3) await put(channel, sized(id, id + 2, 2000));
    await channel.stop(never);
    for (const [index, directory] of dataDirs.entries()) {
      const { index: number, count, paths } = await claimIn(sim, directory);
      assert.deepEqual({ number, count, paths }, { number: index, count: 2, paths: dataDirs });
    }
    const again = await sim.open({ dataDirs });
    assert.deepEqual(await drain(again.channel, 30), range(31, 60));
    assert.deepEqual(sim.disk.paths(left), []);
    await again.channel.stop(never);
  });
}

test("a directory that holds events is refused with its numbers, and nothing changes", async () => {
  const sim = await used();
  const { channel } = await sim.open(all);
  for (let id = 31; id <= 60; id += 3) await put(channel, sized(id, id + 2, 2000));
  await channel.stop(never);
  const before = sim.disk.paths("/data");
  let events = 0;
  for (const left of all.dataDirs) {
    const dataDirs = all.dataDirs.filter((directory) => directory !== left);
    await assert.rejects(sim.open({ dataDirs }), (error) => {
      assert.ok(error instanceof MillraceError && error.code === "CHANNEL_DIRECTORY");
      assert.match(error.message, new RegExp(`${left} .* holds \\d+ events in \\d+ segments`));
      events += Number(error.context["events"]);
      return true;
    });
  }
  assert.equal(events, 30);
  assert.deepEqual(sim.disk.paths("/data"), before);
  const again = await sim.open(all);
  assert.deepEqual(await drain(again.channel, 30), range(31, 60));
  await again.channel.stop(never);
});

test("a directory that cannot be looked at does not leave: it may hold what is newest", async () => {
  const sim = await used();
  const { files } = sim.disk.boot();
  for (const path of sim.disk.paths(three)) await files.unlink(path);
  await assert.rejects(sim.open({ dataDirs: [one, two] }), {
    code: "CHANNEL_DIRECTORY",
    message: /data\/three is not in dataDirs, and only what can be looked at may leave/,
  });
});

test("a directory that left may come back when it is empty, and not with what it held", async () => {
  const sim = await used();
  const kept = new Map<string, Buffer>();
  const { files } = sim.disk.boot();
  for (const path of sim.disk.paths(two)) kept.set(path, await readWholeFile(files, path));
  const first = await sim.open({ dataDirs: [one, three] });
  await put(first.channel, sized(31, 33, 100));
  await first.channel.stop(never);
  const back = sim.disk.boot().files;
  for (const [path, bytes] of kept) {
    const handle = await back.open(path, "create");
    await handle.write([bytes], 0);
  }
  await assert.rejects(sim.open(all), /data\/two left this channel before; empty it/);
  const { files: last } = sim.disk.boot();
  for (const path of kept.keys()) await last.unlink(path);
  const again = await sim.open(all);
  assert.deepEqual(await drain(again.channel, 3), range(31, 33));
  for (let id = 34; id <= 63; id += 3) await put(again.channel, sized(id, id + 2, 2000));
  assert.ok(segmentsIn(sim, two).length > 0);
  await again.channel.stop(never);
  assert.deepEqual((await claimIn(sim, two))["index"], 2);
});

test("one comes and another goes in two starts, not in one", async () => {
  const sim = await used();
  const dataDirs = [one, two, "/data/four"];
  await assert.rejects(sim.open({ dataDirs }), /do one after the other/);
  const { channel } = await sim.open({ dataDirs: [one, two] });
  await channel.stop(never);
  const again = await sim.open({ dataDirs });
  await again.channel.stop(never);
});

const fates: readonly (PowerCut | undefined)[] = [undefined, "lose", "mix", "keep"];

for (const { name, left, dataDirs } of [
  { name: "the first directory leaves", left: one, dataDirs: [two, three] },
  { name: "the last directory leaves", left: three, dataDirs: [one, two] },
  { name: "a directory comes", left: undefined, dataDirs: [...all.dataDirs, "/data/four"] },
]) {
  test(`a crash at any call of the start in which ${name} is repaired by the same start`, async () => {
    const counts = { crashes: 0, gone: 0 };
    for (let crashAt = 1; ; crashAt++) {
      const sim = await used(crashAt);
      const before = await sim.open(all);
      // Behind the kill the newest segment may be one of the leaving directory.
      if (crashAt % 2 === 0) await before.channel.stop(never);
      sim.disk.kill();
      const { channel, boot } = sim.make({ dataDirs }, { crashAt });
      const end = await Promise.race([boot.crashed, channel.start(never).then(() => "started")]);
      if (end === "started") break;
      counts.crashes++;
      const fate = fates[crashAt % fates.length];
      if (fate === undefined) sim.disk.kill();
      else sim.disk.powerCut(fate);
      const again = await sim.open({ dataDirs });
      assert.equal(again.channel.size, 0, `crash at ${crashAt}`);
      await put(again.channel, sized(31, 33, 2000));
      sim.disk.powerCut("lose");
      const last = await sim.open({ dataDirs });
      assert.deepEqual(await drain(last.channel, 3), range(31, 33), `crash at ${crashAt}`);
      await last.channel.stop(never);
      if (left !== undefined && segmentsIn(sim, left).length === 0) counts.gone++;
    }
    assert.ok(counts.crashes > 60, JSON.stringify(counts));
    if (left !== undefined) assert.ok(counts.gone > counts.crashes / 2, JSON.stringify(counts));
  });
}
