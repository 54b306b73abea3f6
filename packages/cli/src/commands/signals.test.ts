import assert from "node:assert/strict";
import { test } from "node:test";
import { listenToSignals, outliveHangUps } from "./signals.ts";

test("a SIGHUP before an agent listens, and after it has stopped listening, ends nothing", async () => {
  const before = process.listenerCount("SIGHUP");
  outliveHangUps();
  outliveHangUps();
  assert.equal(process.listenerCount("SIGHUP"), before + 1, "one listener, however often");
  let told = 0;
  const hungUp = (): Promise<void> =>
    new Promise((resolve, reject) => {
      // A signal alone does not keep a process waiting for it.
      const late = setTimeout(() => reject(new Error("no SIGHUP came")), 10_000);
      process.once("SIGHUP", () => {
        clearTimeout(late);
        setImmediate(resolve);
      });
      process.kill(process.pid, "SIGHUP");
    });
  await hungUp();
  const signals = listenToSignals(() => told++);
  await hungUp();
  signals.release();
  await hungUp();
  assert.equal(told, 1, "told while it listens");
  assert.equal(process.listenerCount("SIGHUP"), before + 1, "still there when it has stopped");
});
