import { type MillraceError, silentLog } from "@millrace/core";
import { createFakeClock, type Operation } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { drain, idsOf, never, put, range, simDisk, sized } from "../sim-channel.test.ts";
import { toolContext } from "./damaged-channel.test.ts";
import { drainChannel } from "./drain.ts";

const observer = { opened() {}, delivered() {}, waiting() {} };

for (const failing of ["write", "datasync"] as const) {
  test(`drain says so where a failed ${failing} keeps it from noting what was delivered`, async () => {
    const sim = simDisk();
    const { channel } = await sim.open();
    await put(channel, sized(1, 6, 300));
    await channel.stop(never);
    let armed = false;
    const fault = ({ kind, path }: Operation) =>
      armed && kind === failing && path.endsWith(".seg") ? ("EIO" as const) : undefined;
    const { runtime } = toolContext(sim.disk, sim.disk.boot({ fault }));
    const ids: number[] = [];
    const receiver = {
      batchSize: 100,
      deliver(batch: Parameters<typeof idsOf>[0]) {
        ids.push(...idsOf(batch));
        armed = true;
        return Promise.resolve();
      },
    };
    const context = { runtime: { ...runtime, clock: createFakeClock() }, log: silentLog, observer };
    const options = { max: 1000, firstWaitMs: 1, longestWaitMs: 1 };
    await assert.rejects(
      drainChannel(["/data/one"], receiver, options, context),
      (error: MillraceError) => {
        assert.match(error.message, /6 events were delivered, and of 6 .* may deliver them again/);
        assert.equal(error.context["delivered"], 6);
        return true;
      },
    );
    assert.deepEqual(ids, range(1, 6));
    const again = await sim.open();
    // What failed may have arrived all the same.
    const left = again.channel.size;
    assert.ok(left === 0 || left === 6, `${left}`);
    assert.deepEqual(await drain(again.channel, left), range(1, left));
    await again.channel.stop(never);
  });
}
