/** Another agent has the file between the moment it is lost here and the moment it is opened again. */
import { numberedBatch, numbers, numbersOf, tempDirectory, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { sqliteChannel } from "./sqlite-kit.test.ts";

const never = new AbortController().signal;

test("what another agent put while the file was out of reach here is not taken for a put that failed: CHANNEL_FAILED", async (t) => {
  const directory = await tempDirectory(t);
  const first = sqliteChannel(directory);
  await first.channel.start(never);
  await (await first.channel.beginPut(numberedBatch(1, 5))).commit();
  await first.killThread("a bug in the library");

  const second = sqliteChannel(directory);
  await second.channel.start(never);
  await (await second.channel.beginPut(numberedBatch(6, 8))).commit();
  await second.channel.stop(never);

  await waitFor("the channel to see it", async () => {
    await first.clock.advance(200);
    return first.channel.trouble?.code !== "DATABASE_UNAVAILABLE";
  });
  assert.equal(first.channel.trouble?.code, "CHANNEL_FAILED");
  assert.match(first.channel.trouble.message, /another agent/);
  await assert.rejects(first.channel.beginPut(numberedBatch(9, 9)), { code: "CHANNEL_FAILED" });
  await first.channel.stop(never);

  const third = sqliteChannel(directory);
  await third.channel.start(never);
  assert.equal(third.channel.size, 8);
  const take = await third.channel.beginTake(10);
  assert.deepEqual(numbersOf(take.batch), numbers(1, 8));
  await take.commit();
  await third.channel.stop(never);
});
