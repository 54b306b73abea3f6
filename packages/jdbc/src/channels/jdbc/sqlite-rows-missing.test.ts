import { numberedBatch, numbersOf, tempDirectory, waitFor, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { sqliteChannel } from "./sqlite-kit.test.ts";
import { loadSqlite, sqliteModules } from "./sqlite/sqlite-driver.ts";

const never = new AbortController().signal;

test("a row that somebody deleted is counted, and its bytes are held no longer", async (t) => {
  const directory = await tempDirectory(t);
  const made = sqliteChannel(directory);
  await within("start", made.channel.start(never));
  const transaction = await made.channel.beginPut(numberedBatch(1, 3));
  await within("commit", transaction.commit());
  await made.channel.stop(never);
  const database = (await loadSqlite(sqliteModules)).open(made.path);
  database.exec("DELETE FROM millrace_event WHERE sequence = 2");
  database.close();

  const again = sqliteChannel(directory);
  await within("start", again.channel.start(never));
  t.after(() => again.channel.stop(never));
  for (const n of [1, 3]) {
    const take = await within("a take", again.channel.beginTake(1));
    assert.deepEqual(numbersOf(take.batch), [n]);
    await take.commit();
  }
  await waitFor("the missing row to be noticed", () => again.channel.size === 0);
  const discarded = { reason: "missing_row", intended: "false" };
  assert.equal(again.metrics.value("millrace_events_discarded_total", discarded), 1);
  assert.equal(again.metrics.value("millrace_channel_bytes"), 0);
});
