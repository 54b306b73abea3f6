import type { Operation } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { drain, never, put, range, simDisk, sized } from "../sim-channel.test.ts";

for (const { what, isFault } of [
  {
    what: "the sync of a new segment failed",
    isFault: ({ kind }: Operation) => kind === "datasync",
  },
  {
    what: "the sync of the directory of a new segment failed",
    isFault: ({ kind }: Operation) => kind === "syncDirectory",
  },
]) {
  test(`a channel that failed as ${what} has no file open once it is stopped`, async () => {
    const sim = simDisk();
    const open = new Map<string, number>();
    const made = new Set<string>();
    let armed = false;
    let failures = 0;
    const fault = (operation: Operation) => {
      const { kind, path } = operation;
      const count = open.get(path) ?? 0;
      if (kind === "open" || kind === "create") open.set(path, count + 1);
      if (kind === "close") open.set(path, count - 1);
      if (armed && (kind === "create" || kind === "rename")) made.add(path);
      const isNew = made.size > 0 && (kind === "syncDirectory" || !known.has(path));
      return armed && isNew && isFault(operation) ? (failures++, "EIO" as const) : undefined;
    };
    const known = new Set<string>();
    const { channel } = await sim.open({}, { fault });
    await put(channel, sized(1, 4, 900));
    for (const path of sim.disk.paths("/data/one")) known.add(path);
    armed = true;
    await assert.rejects(
      async () => {
        for (let id = 5; id < 200; id += 4) await put(channel, sized(id, id + 3, 900));
      },
      { code: "CHANNEL_FAILED" },
    );
    assert.ok(failures > 0);
    await channel.stop(never);
    const left = [...open].filter(([path, count]) => count !== 0 && path.endsWith(".seg"));
    assert.deepEqual(left, []);
    const again = await sim.open();
    assert.deepEqual(await drain(again.channel, 4), range(1, 4));
    await again.channel.stop(never);
  });
}
