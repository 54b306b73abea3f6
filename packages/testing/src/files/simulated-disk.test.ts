import { type FileHandle, type FileSystem, readWholeFile, writeFully } from "@millrace/core";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createSeededRandom } from "../runtime/seeded-random.ts";
import { settle } from "../runtime/fake-clock.ts";
import { recordFiles } from "./recording-file-system.ts";
import { type Operation, SimulatedDisk } from "./simulated-disk.ts";

function newDisk(seed: number, options: { sectorBytes?: number; capacityBytes?: number } = {}) {
  return new SimulatedDisk({ random: createSeededRandom(seed), ...options });
}

async function create(files: FileSystem, path: string, bytes: Buffer): Promise<FileHandle> {
  const handle = await files.open(path, "create");
  await writeFully(handle, [bytes], 0);
  return handle;
}

test("what is synced stays, with its name; what is not is lost", async () => {
  const disk = newDisk(1);
  const { files } = disk.boot();
  await files.makeDirectory("/d");
  const kept = await create(files, "/d/kept", Buffer.from("synced"));
  await kept.datasync();
  await files.syncDirectory("/d");
  await files.syncDirectory("/");
  await kept.write([Buffer.from("SYNCED")], 0);
  const nameless = await create(files, "/d/nameless", Buffer.from("synced too"));
  await nameless.datasync();
  disk.powerCut("lose");
  assert.deepEqual(disk.paths(), ["/d/kept"]);
  assert.equal((await readWholeFile(disk.boot().files, "/d/kept")).toString(), "synced");
});

test("a killed process loses nothing, and none of its calls ever returns", async () => {
  const disk = newDisk(1);
  const first = disk.boot();
  await create(first.files, "/f", Buffer.from("x"));
  disk.kill();
  let returned = false;
  void first.files.stat("/f").then(() => (returned = true));
  await settle();
  assert.equal(returned, false);
  assert.equal((await readWholeFile(disk.boot().files, "/f")).toString(), "x");
});

test("unsynced sectors are lost, kept and mixed, each whole, and lengths lie in between", async () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 200; seed++) {
    const disk = newDisk(seed);
    const { files } = disk.boot();
    const handle = await create(files, "/f", Buffer.alloc(1024, "a"));
    await handle.datasync();
    await files.syncDirectory("/");
    await handle.write([Buffer.alloc(512, "b")], 0);
    await handle.write([Buffer.alloc(512, "c")], 0);
    await handle.write([Buffer.alloc(512, "d")], 512);
    await handle.write([Buffer.alloc(512, "e")], 1024);
    disk.powerCut("mix");
    const bytes = await readWholeFile(disk.boot().files, "/f");
    assert.ok([1024, 1536].includes(bytes.length));
    for (let at = 0; at < bytes.length; at += 512) {
      assert.equal(new Set(bytes.subarray(at, at + 512)).size, 1, "a sector is written whole");
    }
    seen.add([0, 512, 1024].map((at) => String.fromCharCode(bytes[at] ?? 46)).join(""));
  }
  for (const one of ["aa.", "bd.", "cae", "cde", "ada".slice(0, 2) + "."]) assert.ok(seen.has(one), `${one} of ${[...seen].join(" ")}`); // prettier-ignore
});

test("a failed sync leaves bytes that reads show and no later sync stores", async () => {
  let lost = 0;
  for (let seed = 1; seed <= 40; seed++) {
    const disk = newDisk(seed);
    let fail = true;
    const fault = ({ kind }: Operation) => (kind === "datasync" && fail ? "EIO" : undefined);
    const { files } = disk.boot({ fault });
    await files.open("/f", "create");
    await files.syncDirectory("/");
    const handle = await files.open("/f", "write");
    await handle.write([Buffer.alloc(512, "z")], 0);
    await assert.rejects(handle.datasync(), { code: "EIO" });
    assert.equal((await readWholeFile(files, "/f"))[0], 0x7a);
    fail = false;
    await handle.datasync();
    disk.powerCut("keep");
    if ((await readWholeFile(disk.boot().files, "/f"))[0] !== 0x7a) lost++;
  }
  assert.ok(lost > 10 && lost < 30, `${lost} of 40 sectors were lost`);
});

test("a crash comes in the call that was named, which happened wholly, partly or not", async () => {
  const lengths = new Set<number>();
  for (let seed = 1; seed <= 60; seed++) {
    const disk = newDisk(seed);
    const boot = disk.boot({ crashAt: 2 });
    const handle = await boot.files.open("/f", "create");
    void handle.write([Buffer.alloc(100, "w")], 0);
    const { kind, number } = await boot.crashed;
    assert.deepEqual({ kind, number }, { kind: "write", number: 2 });
    disk.kill();
    lengths.add((await disk.boot().files.stat("/f")).size);
  }
  assert.ok(lengths.size > 10, `${lengths.size} lengths`);
});

test("a full disk takes what fits and then says ENOSPC; bytes that are there can be written over", async () => {
  const disk = newDisk(1, { capacityBytes: 2048 });
  const { files } = disk.boot();
  const handle = await files.open("/f", "create");
  assert.equal(await handle.write([Buffer.alloc(3000)], 0), 2048);
  await assert.rejects(handle.write([Buffer.alloc(1)], 2048), { code: "ENOSPC" });
  assert.equal(await handle.write([Buffer.alloc(2048)], 0), 2048);
  assert.equal(await files.freeBytes("/"), 0);
});

test("the same seed gives the same disk", async () => {
  const run = async (): Promise<string> => {
    const disk = newDisk(42);
    const { files } = disk.boot();
    for (let i = 0; i < 10; i++) await create(files, `/f${i}`, Buffer.alloc(700 * i, i));
    disk.powerCut("mix");
    return JSON.stringify(disk.paths().map((path) => [path, disk.file(path).length]));
  };
  assert.equal(await run(), await run());
});

test("a recording keeps begin and end of every call in one order", async () => {
  const recorded = recordFiles(newDisk(1).boot().files);
  const handle = await create(recorded.files, "/f", Buffer.from("12"));
  const before = recorded.now();
  await handle.datasync();
  const [sync] = recorded.calls.filter(({ kind }) => kind === "datasync");
  assert.ok(sync !== undefined && sync.begin > before && (sync.end ?? 0) > sync.begin);
  assert.deepEqual(
    recorded.calls.map(({ kind }) => kind),
    ["create", "write", "datasync"],
  );
});
