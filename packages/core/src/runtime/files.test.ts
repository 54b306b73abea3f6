import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { tempDirectory } from "@millrace/testing";
import { MillraceError } from "../errors/millrace-error.ts";
import type { FileHandle, FileSystem } from "./file-system.ts";
import { expandHome, fileExists, readWholeFile, replaceFile, writeFully } from "./files.ts";
import { nodeFileSystem } from "./node-file-system.ts";

/** The machine's files, with a journal, and a failure of the call that is named. */
function journalled(failing = ""): { files: FileSystem; journal: string[] } {
  const journal: string[] = [];
  const note = (call: string): void => {
    journal.push(call);
    if (call === failing) throw Object.assign(new Error(`EIO: ${call}`), { code: "EIO" });
  };
  const files: FileSystem = {
    ...nodeFileSystem,
    async open(path, mode) {
      note(`open ${mode}`);
      const handle = await nodeFileSystem.open(path, mode);
      return {
        ...handle,
        async write(buffers, position) {
          note("write");
          return handle.write(buffers, position);
        },
        async datasync() {
          note("datasync");
          return handle.datasync();
        },
        async close() {
          await handle.close();
          note("close");
        },
      };
    },
    async rename(from, to) {
      note("rename");
      return nodeFileSystem.rename(from, to);
    },
    async unlink(path) {
      note("unlink");
      return nodeFileSystem.unlink(path);
    },
    async syncDirectory(path) {
      note("sync directory");
      return nodeFileSystem.syncDirectory(path);
    },
  };
  return { files, journal };
}

void test("a file is replaced by a synced one, and its name is made durable", async (context) => {
  const path = join(await tempDirectory(context), "state.json");
  const { files, journal } = journalled();
  await replaceFile(files, path, Buffer.from("old"));
  journal.length = 0;
  await writeFile(`${path}.tmp`, "left behind by a crash, and longer than what comes");
  await replaceFile(files, path, Buffer.from("new"));
  assert.equal(await readFile(path, "utf8"), "new");
  assert.deepEqual(journal, [
    "unlink",
    "open create",
    "write",
    "datasync",
    "close",
    "rename",
    "sync directory",
  ]);
});

for (const call of ["unlink", "open create", "write", "datasync", "close", "rename"]) {
  void test(`a replacement whose ${call} fails leaves the old content`, async (context) => {
    const path = join(await tempDirectory(context), "state.json");
    await writeFile(path, "old");
    const { files, journal } = journalled(call);
    await assert.rejects(replaceFile(files, path, Buffer.from("new")), { code: "EIO" });
    assert.equal(await readFile(path, "utf8"), "old");
    const opened = journal.includes("write");
    assert.equal(journal.includes("close"), opened, "what was opened is closed");
  });
}

/** A handle that keeps what is written, at most `most` bytes a call. */
function shortHandle(most: number): { handle: FileHandle; written: () => Buffer; calls: number[] } {
  const content = Buffer.alloc(1000, ".");
  const calls: number[] = [];
  const handle = {
    async write(buffers: readonly Buffer[], position: number) {
      const bytes = Buffer.concat(buffers).subarray(0, most);
      assert.ok(buffers.every(({ length }) => length > 0));
      calls.push(bytes.length);
      return bytes.copy(content, position);
    },
  } as unknown as FileHandle;
  return { handle, calls, written: () => content };
}

void test("short writes are continued where they stopped, inside and between buffers", async () => {
  const buffers = ["one", "", "two", "threefour"].map((text) => Buffer.from(text));
  for (const most of [1, 2, 3, 4, 7, 100]) {
    const { handle, written, calls } = shortHandle(most);
    await writeFully(handle, buffers, 5);
    assert.equal(written().toString("utf8", 0, 21), ".....onetwothreefour.");
    assert.equal(calls.length, Math.ceil(15 / most));
  }
});

void test("nothing to write is no call at all", async () => {
  const { handle, calls } = shortHandle(10);
  await writeFully(handle, [Buffer.alloc(0)], 0);
  assert.deepEqual(calls, []);
});

void test("a write that takes nothing is WRITE_FAILED, not an endless loop", async () => {
  const { handle } = shortHandle(0);
  await assert.rejects(
    writeFully(handle, [Buffer.from("x")], 3),
    (error) => error instanceof MillraceError && error.code === "WRITE_FAILED",
  );
});

void test("a whole file is read over short reads", async () => {
  const content = Buffer.from("0123456789");
  const handle = {
    stat: async () => ({ size: content.length }),
    read: async (into: Buffer, offset: number, length: number, position: number) =>
      content.copy(into, offset, position, position + Math.min(3, length)),
    close: async () => {},
  } as unknown as FileHandle;
  const files: FileSystem = { ...nodeFileSystem, open: async () => handle };
  assert.deepEqual(await readWholeFile(files, "any"), content);
});

void test("a file that exists is told from one that does not, and other errors are thrown", async (context) => {
  const directory = await tempDirectory(context);
  const path = join(directory, "there");
  await writeFile(path, "");
  assert.equal(await fileExists(nodeFileSystem, path), true);
  assert.equal(await fileExists(nodeFileSystem, join(directory, "not there")), false);
  await assert.rejects(fileExists(nodeFileSystem, join(path, "below a file")), { code: "ENOTDIR" });
});

void test("the machine's files do what their system calls do", async (context) => {
  const directory = await tempDirectory(context);
  const path = join(directory, "a");
  await assert.rejects(nodeFileSystem.open(path, "read"), { code: "ENOENT" });
  await assert.rejects(nodeFileSystem.open(path, "write"), { code: "ENOENT" });
  const created = await nodeFileSystem.open(path, "create");
  await assert.rejects(nodeFileSystem.open(path, "create"), { code: "EEXIST" });
  assert.equal(await created.write([Buffer.from("abc"), Buffer.from("def")], 0), 6);
  assert.equal(await created.write([Buffer.from("X")], 1), 1);
  await created.datasync();
  await created.truncate(5);
  const into = Buffer.alloc(10, ".");
  assert.equal(await created.read(into, 2, 8, 1), 4);
  assert.equal(into.toString(), "..Xcde....");
  assert.equal((await created.stat()).size, 5);
  await created.close();
  const appended = await nodeFileSystem.open(path, "append");
  await appended.write([Buffer.from("!")], 0);
  await appended.close();
  assert.equal(await readFile(path, "utf8"), "aXcde!");
  await nodeFileSystem.makeDirectory(join(directory, "x/y"));
  await nodeFileSystem.makeDirectory(join(directory, "x/y"));
  await nodeFileSystem.rename(path, join(directory, "x/b"));
  await nodeFileSystem.syncDirectory(directory);
  const entries = await nodeFileSystem.readDirectory(join(directory, "x"));
  assert.deepEqual(
    entries.sort((a, b) => (a.name < b.name ? -1 : 1)),
    [
      { name: "b", isFile: true, isDirectory: false },
      { name: "y", isFile: false, isDirectory: true },
    ],
  );
  const stat = await nodeFileSystem.stat(join(directory, "x/b"));
  assert.ok(stat.isFile && !stat.isDirectory && stat.inode > 0 && stat.modifiedMs > 0);
  assert.equal((stat.mode ?? 0) & 0o400, 0o400);
  const free = await nodeFileSystem.freeBytes(directory);
  assert.ok(free > 0 && (await nodeFileSystem.totalBytes(directory)) >= free);
  await nodeFileSystem.unlink(join(directory, "x/b"));
  assert.deepEqual(await readdir(join(directory, "x")), ["y"]);
});

void test("a leading ~ is the home directory, and only there", () => {
  const cases = [
    ["~", "/home/a"],
    ["~/x/y", "/home/a/x/y"],
    ["/x/~/y", "/x/~/y"],
    ["~b/x", "~b/x"],
  ] as const;
  for (const [given, want] of cases) assert.equal(expandHome(given, "/home/a"), want);
});
