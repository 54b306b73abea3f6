/** A real process over a real file, killed with SIGKILL while it puts. */
import {
  numbers,
  numbersOf,
  projectRoot,
  startChild,
  tempDirectory,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { sqliteChannel } from "./sqlite-kit.test.ts";

const never = new AbortController().signal;
const rounds = Number(process.env["KILLS"] ?? 3);
const folder = join(projectRoot, "packages/jdbc/src/channels/jdbc");

/** Puts tens of events and says of each put when it is stored; takes and settles some. */
const program = `
  import { systemRuntime } from "@millrace/core";
  import { channelContext, numberedBatch, numbersOf } from "@millrace/testing";
  import { createJdbcChannel } from ${JSON.stringify(join(folder, "jdbc-channel.ts"))};
  import { createSqliteStore } from ${JSON.stringify(join(folder, "sqlite/sqlite-store.ts"))};
  import { sqliteModules } from ${JSON.stringify(join(folder, "sqlite/sqlite-driver.ts"))};
  const [path, first] = process.argv.slice(-2);
  const settings = { path, channel: "c1", createsSchema: true, modules: sqliteModules, pagesMax: 0, minimumFreeBytes: 0 };
  const limits = { capacity: Infinity, transactionCapacity: 100, keepAliveMs: 0, memoryBytes: 2000, ackMs: 5, openWaitMs: 5000 };
  const channel = createJdbcChannel(limits, createSqliteStore(settings, systemRuntime.files), channelContext());
  await channel.start(new AbortController().signal);
  const say = (text) => process.stdout.write(text + "\\n");
  for (let n = Number(first); ; n += 10) {
    await (await channel.beginPut(numberedBatch(n, n + 9))).commit();
    say("stored " + (n + 9));
    const take = await channel.beginTake(7);
    if (take.batch.length > 0) say("settled " + numbersOf(take.batch).join(" "));
    await take.commit();
  }
`;

test("a process killed while it puts keeps what it said is stored; some of what it settled comes again [lost: jdbc-sqlite | agent killed | nothing; some twice]", async (t) => {
  const path = join(await tempDirectory(t), "events.sqlite");
  const stored: number[] = [];
  const settled = new Set<number>();
  let next = 1;
  for (let round = 0; round < rounds; round++) {
    const child = startChild(t, {
      command: [
        ...[
          process.execPath,
          "--conditions=millrace-source",
          `--import=${import.meta.resolve("tsx")}`,
        ],
        ...["--input-type=module", "--eval", program, "--", path, String(next)],
      ],
    });
    const count = (): number => child.output().split("stored ").length - 1;
    await waitFor("puts", () => count() > 40 + round * 17 || child.exit !== undefined, 60_000);
    child.signal("SIGKILL");
    assert.equal((await child.exited()).signal, "SIGKILL", child.output());
    const lines = child.output().split("\n").slice(0, -1);
    const last = Number(
      lines
        .filter((line) => line.startsWith("stored"))
        .at(-1)
        ?.split(" ")[1],
    );
    stored.push(...numbers(next, last));
    for (const line of lines.filter((text) => text.startsWith("settled"))) {
      for (const n of line.split(" ").slice(1)) settled.add(Number(n));
    }
    // Those of the put under way may be there or not.
    next = last + 11;
  }

  const made = sqliteChannel(join(path, ".."), { settings: { path } });
  await within("start", made.channel.start(never));
  const found: number[] = [];
  while (made.channel.size > 0) {
    const take = await within("a take", made.channel.beginTake(1000));
    found.push(...numbersOf(take.batch));
    await take.commit();
  }
  await made.channel.stop(never);
  assert.ok(stored.length > 400 * rounds, `${stored.length} events were stored`);
  assert.deepEqual(
    found,
    [...new Set(found)].sort((a, b) => a - b),
    "in order, each once",
  );
  const known = new Set(found);
  const lost = stored.filter((n) => !known.has(n) && !settled.has(n));
  assert.deepEqual(lost, []);
});
