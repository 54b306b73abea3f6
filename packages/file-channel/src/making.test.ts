import type { FileSystem } from "@millrace/core";
import { channelContext } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { smallOptions } from "./crash-world.test.ts";
import { createFileChannel } from "./file-channel.ts";
import { never, put, simDisk, sized } from "./sim-channel.test.ts";

/** Each call begins some turns later. */
function slowed(files: FileSystem, turns: number): FileSystem {
  const wait = async (): Promise<void> => {
    for (let i = 0; i < turns; i++) await Promise.resolve();
  };
  return new Proxy(files, {
    get: (target, name) => {
      const call = target[name as keyof FileSystem] as (...given: unknown[]) => unknown;
      return async (...given: unknown[]) => {
        await wait();
        return call.apply(target, given);
      };
    },
  });
}

test("of two agents that make one channel at the same moment the second goes on with what the first has made", async () => {
  let seconds = 0;
  for (const turns of [2, 30]) {
    for (let late = 0; late < 20; late++) {
      const sim = simDisk();
      const options = { ...smallOptions, lockWaitMs: 60_000 };
      const one = sim.make(options);
      const { files, locks } = one.boot;
      const runtime = { ...one.context.runtime, files: slowed(files, turns), locks };
      const other = createFileChannel(options, channelContext({ runtime }));
      const starts = [one.channel.start(never)];
      for (let i = 0; i < late; i++) await Promise.resolve();
      starts.push(other.start(never));
      const started = await Promise.race(starts.map((start, i) => start.then(() => i)));
      const [first, second] = started === 0 ? [one.channel, other] : [other, one.channel];
      await put(first, sized(1, 3, 100));
      if (second.trouble?.code === "CHANNEL_LOCKED") seconds++;
      await first.stop(never);
      let isOver = false;
      const following = Promise.all(starts).finally(() => (isOver = true));
      following.catch(() => undefined);
      while (!isOver) await one.clock.advance(100);
      await following;
      assert.equal(second.size, 3, `${late} late, ${turns} turns a call`);
      await second.stop(never);
    }
  }
  assert.ok(seconds > 10, `${seconds} waited for the lock`);
});
