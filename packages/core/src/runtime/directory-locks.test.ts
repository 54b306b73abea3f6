import { tempDirectory, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { test, type TestContext } from "node:test";
import { pathToFileURL } from "node:url";
import { socketLocks } from "./directory-locks.ts";

const rounds = Number(process.env["LOCK_ROUNDS"] ?? 25);

test("a directory has one holder, and is free again when it lets go", async (context) => {
  const directory = await tempDirectory(context);
  const first = await socketLocks.acquire(directory);
  assert.ok(first !== undefined);
  assert.equal(await socketLocks.acquire(directory), undefined);
  await first.release();
  await first.release();
  const second = await socketLocks.acquire(directory);
  assert.ok(second !== undefined);
  await second.release();
  assert.deepEqual(await readdir(directory), []);
});

test("a path longer than a socket's may be is no obstacle", async (context) => {
  const directory = join(await tempDirectory(context), "x".repeat(200));
  await mkdir(directory);
  const lock = await socketLocks.acquire(directory);
  assert.ok(lock !== undefined);
  await lock.release();
});

test("names a killed holder left are removed by the next", async (context) => {
  const directory = await tempDirectory(context);
  await leaveStale(directory, 3);
  await writeFile(join(directory, "in_use.txt"), "not a lock");
  const lock = await socketLocks.acquire(directory);
  assert.ok(lock !== undefined);
  assert.equal((await readdir(directory)).filter((name) => name.endsWith(".sock")).length, 1);
  await lock.release();
  assert.deepEqual(await readdir(directory), ["in_use.txt"]);
});

test(`racing for a stale lock, never two win and always one does, ${rounds} times`, async (context) => {
  const directory = await tempDirectory(context);
  for (let round = 0; round < rounds; round++) {
    await leaveStale(directory, 2);
    const racers = [1, 2, 3].map(() => socketLocks.acquire(directory));
    const won = (await within("the race", Promise.all(racers))).filter((one) => one !== undefined);
    assert.equal(won.length, 1, `round ${round}`);
    await won[0]?.release();
  }
});

test("a lock excludes another process and dies with it", async (context) => {
  const directory = await tempDirectory(context);
  const holder = await holdInChild(directory, context);
  assert.equal(await socketLocks.acquire(directory), undefined);
  holder.kill("SIGKILL");
  await once(holder, "exit");
  const lock = await within("the lock of a killed process", socketLocks.acquire(directory));
  assert.ok(lock !== undefined);
  await lock.release();
});

/** Socket files nobody listens on, as a kill leaves them. */
async function leaveStale(directory: string, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const server = createServer();
    const path = join(directory, `in_use.${process.hrtime.bigint().toString(16)}${i}.sock`);
    const kept = `${path}.kept`;
    await new Promise<void>((resolve) => server.listen(path, resolve));
    await rename(path, kept);
    await new Promise((resolve) => server.close(resolve));
    await rename(kept, path);
  }
}

async function holdInChild(directory: string, context: TestContext): Promise<ChildProcess> {
  const module = pathToFileURL(join(import.meta.dirname, "directory-locks.ts")).href;
  const script = `
    const { socketLocks } = await import(${JSON.stringify(module)});
    const lock = await socketLocks.acquire(${JSON.stringify(directory)});
    console.log(lock === undefined ? "refused" : "held");
    setInterval(() => {}, 1000);
  `;
  const child = spawn(
    process.execPath,
    ["--import", "tsx", "--input-type=module", "--eval", script],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  context.after(() => child.kill("SIGKILL"));
  const [said] = (await within("the child's lock", once(child.stdout, "data"))) as [Buffer];
  assert.equal(said.toString().trim(), "held");
  return child;
}

test("whether a directory is held can be seen without taking part", async (context) => {
  const directory = await tempDirectory(context);
  await leaveStale(directory, 1);
  const before = await readdir(directory);
  assert.equal(await socketLocks.isHeld?.(directory), false);
  assert.deepEqual(await readdir(directory), before, "looking removes nothing");
  const lock = await socketLocks.acquire(directory);
  assert.equal(await socketLocks.isHeld?.(directory), true);
  assert.equal(await socketLocks.holder?.(directory), `process ${process.pid} on ${hostname()}`);
  await lock?.release();
  assert.equal(await socketLocks.isHeld?.(directory), false);
  assert.equal(await socketLocks.holder?.(directory), undefined);
});

test("an attempt that fails leaves nothing that keeps the next one out", async (context) => {
  const directory = await tempDirectory(context);
  const odd = join(directory, "in_use.0123456789abcdef.sock");
  await mkdir(odd);
  await assert.rejects(socketLocks.acquire(directory), { syscall: "unlink" });
  assert.deepEqual(await readdir(directory), ["in_use.0123456789abcdef.sock"]);
  await rm(odd, { recursive: true });
  const lock = await socketLocks.acquire(directory);
  assert.ok(lock !== undefined);
  await lock.release();
});
