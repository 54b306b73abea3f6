import { MillraceError } from "@millrace/core";
import type { Operation } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { drain, never, put, range, simDisk, sized } from "../sim-channel.test.ts";

const leftover = "/data/one/0000000000000000.seg";

type Sim = ReturnType<typeof simDisk>;

/** Events 1 to 4 in the newest segment, and files that the next start lets go. */
async function withLeftovers(): Promise<Sim> {
  const sim = simDisk();
  const { channel } = await sim.open();
  for (let id = 101; id <= 160; id += 4) await put(channel, sized(id, id + 3, 900));
  await drain(channel, 60);
  await put(channel, sized(1, 4, 100));
  sim.disk.kill();
  const { files } = sim.disk.boot();
  const handle = await files.open(leftover, "create");
  await handle.datasync();
  await handle.close();
  for (const name of ["x", "y", "z"]) {
    const spare = await files.open(`/data/one/spare-${name}.seg`, "create");
    await spare.close();
  }
  await files.syncDirectory("/data/one");
  return sim;
}

for (const kind of ["unlink", "rename"] as const) {
  test(`a start that cannot ${kind} a file that nothing needs goes on without`, async () => {
    const sim = await withLeftovers();
    if (kind === "rename") {
      for (const path of sim.disk.paths("/data/one")) {
        if (path.includes("spare-")) await sim.disk.boot().files.unlink(path);
      }
    }
    let failures = 0;
    const fault = ({ kind: called, path }: Operation) =>
      called === kind && path.endsWith(".seg") ? (failures++, "EIO" as const) : undefined;
    const { channel } = await sim.open({}, { fault });
    assert.ok(failures > 0);
    assert.deepEqual(await drain(channel, 4), range(1, 4));
    await channel.stop(never);
  });
}

test("a start whose directory cannot be synced names it, and leaves no file open", async () => {
  const sim = await withLeftovers();
  let failing = true;
  let opened = 0;
  const fault = ({ kind, path }: Operation) => {
    if (!path.endsWith(".seg") && kind !== "syncDirectory") return undefined;
    if (kind === "open" || kind === "create") opened++;
    if (kind === "close") opened--;
    return failing && kind === "syncDirectory" ? ("EIO" as const) : undefined;
  };
  await assert.rejects(sim.open({}, { fault }), (error) => {
    assert.ok(error instanceof MillraceError && error.code === "CHANNEL_FAILED", String(error));
    assert.match(error.message, /fsync of the directory \/data\/one failed/);
    return true;
  });
  assert.equal(opened, 0);
  failing = false;
  const { channel } = await sim.open();
  assert.deepEqual(await drain(channel, 4), range(1, 4));
  await channel.stop(never);
});
