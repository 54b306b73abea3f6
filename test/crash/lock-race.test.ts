/** Agents that race for a lock whose holder was killed, a thousand times. */
import { socketLocks } from "@millrace/core";
import { tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { rename } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";

const rounds = Number(process.env["LOCK_ROUNDS"] ?? 1000);

test(`two agents racing for a stale lock: exactly one wins, ${rounds} times`, async (t) => {
  const directory = await tempDirectory(t);
  let wonByFirst = 0;
  for (let round = 0; round < rounds; round++) {
    await leaveStale(directory, round);
    const [first, second] = await Promise.all([
      socketLocks.acquire(directory),
      socketLocks.acquire(directory),
    ]);
    const won = [first, second].filter((lock) => lock !== undefined);
    assert.equal(won.length, 1, `round ${round}: ${won.length} hold it`);
    if (first !== undefined) wonByFirst++;
    await won[0]?.release();
  }
  t.diagnostic(`${wonByFirst} of ${rounds} won by the first`);
});

/** A socket file that nobody listens on, as a kill leaves it. */
async function leaveStale(directory: string, round: number): Promise<void> {
  const path = join(directory, `in_use.${round.toString(16).padStart(16, "0")}.sock`);
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(path, resolve));
  await rename(path, `${path}.kept`);
  await new Promise((resolve) => server.close(resolve));
  await rename(`${path}.kept`, path);
}
