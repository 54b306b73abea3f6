import { type FileSystem, nodeFileSystem } from "@millrace/core";
import { tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { type JavaLock, readJavaLock } from "./java-lock.ts";

/** A channel directory with a lock file, and a `/proc` in which two processes run. */
async function createSystem(t: TestContext): Promise<{
  directory: string;
  proc: string;
  look(platform?: string, files?: FileSystem): Promise<JavaLock>;
}> {
  const folder = await tempDirectory(t);
  const directory = join(folder, "data");
  const proc = join(folder, "proc");
  await mkdir(directory);
  await writeFile(join(directory, "in_use.lock"), "");
  await writeFile(join(directory, "log-1"), "");
  for (const [id, name] of [
    ["1", "init"],
    ["77", "java"],
  ] as const) {
    await mkdir(join(proc, id, "fd"), { recursive: true });
    await writeFile(join(proc, id, "comm"), `${name}\n`);
    await symlink(join(directory, "log-1"), join(proc, id, "fd", "5"));
    await symlink("/nowhere", join(proc, id, "fd", "6"));
  }
  await mkdir(join(proc, "self", "ns"), { recursive: true });
  await writeFile(join(proc, "self", "ns", "pid"), "");
  return {
    directory,
    proc,
    look: (platform = "linux", files = nodeFileSystem) =>
      readJavaLock(files, directory, { platform, proc }),
  };
}

/** As it looks to a process that sees all others. */
const outermost: FileSystem = {
  ...nodeFileSystem,
  async stat(path) {
    const stat = await nodeFileSystem.stat(path);
    return path.endsWith("ns/pid") ? { ...stat, inode: 0xeffffffc } : stat;
  },
};

void test("a directory without a lock file is free", async (t) => {
  const system = await createSystem(t);
  await rm(join(system.directory, "in_use.lock"));
  assert.equal((await system.look()).state, "free");
});

void test("a directory whose lock file a process has open is held by it", async (t) => {
  const system = await createSystem(t);
  await symlink(join(system.directory, "in_use.lock"), join(system.proc, "77", "fd", "7"));
  const { state, why } = await system.look();
  assert.equal(state, "held");
  assert.match(why, /is certain: process 77 has .*in_use.lock open/);
});

void test("a lock file that was left over makes no directory held, where all processes are seen", async (t) => {
  const system = await createSystem(t);
  const { state, why } = await system.look("linux", outermost);
  assert.equal(state, "free");
  assert.match(why, /is left over/);
});

const unknowns = [
  {
    name: "inside a container",
    bend: () => Promise.resolve(),
    says: /an agent in another container would not be seen/,
  },
  {
    name: "where a Java process is another user's",
    bend: (proc: string) => rm(join(proc, "77", "fd"), { recursive: true }),
    says: /open files of the Java process 77 may not be looked at/,
  },
  {
    name: "where processes are hidden",
    bend: (proc: string) => rm(join(proc, "1"), { recursive: true }),
    says: /does not show all processes/,
  },
];
for (const { name, bend, says } of unknowns) {
  void test(`who has a lock file open cannot be told ${name}, and that is said`, async (t) => {
    const system = await createSystem(t);
    await bend(system.proc);
    const { state, why } = await system.look();
    assert.equal(state, "unknown");
    assert.match(why, says);
  });
}

void test("who has a lock file open cannot be told on other systems", async (t) => {
  const system = await createSystem(t);
  const { state, why } = await system.look("darwin");
  assert.equal(state, "unknown");
  assert.match(why, /is not known on darwin/);
});
