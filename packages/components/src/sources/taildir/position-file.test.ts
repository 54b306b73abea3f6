import { hashHead, MillraceError, systemRuntime } from "@millrace/core";
import { createFailingFiles, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import {
  formatPositions,
  loadPositions,
  parsePositions,
  type SavedFile,
  savePositions,
} from "./position-file.ts";

const { files } = systemRuntime;
const saved: SavedFile[] = [
  {
    inode: 2496272,
    pos: 12,
    file: "/var/log/test1/example.log",
    fingerprint: { size: 20, headBytes: 5, head: hashHead(Buffer.from("first")) },
  },
  { inode: 3, pos: 0, file: '/odd "name"\u00e9', fingerprint: undefined },
];

void test("positions are written as Flume writes them: its keys, its order, no spaces", () => {
  assert.equal(
    formatPositions(saved.slice(0, 1)),
    '[{"inode":2496272,"pos":12,"file":"/var/log/test1/example.log"}]',
  );
  assert.equal(formatPositions([]), "[]");
});

void test("positions as Flume's Gson writes them are read, an empty file too", () => {
  const text =
    '[{"inode":7,"pos":9007199254740991,"file":"/a\\u003db"},{"inode":8,"pos":0,"file":"/c"}]';
  assert.deepEqual(parsePositions(text, "/p"), [
    { inode: 7, pos: Number.MAX_SAFE_INTEGER, file: "/a=b" },
    { inode: 8, pos: 0, file: "/c" },
  ]);
  assert.deepEqual(parsePositions(" \n", "/p"), []);
});

const invalid = [
  ["{}", /not an array/],
  ['[{"inode":1,"pos":2,"file":"/a"', /not JSON/],
  ['[{"pos":2,"file":"/a"}]', /"inode" in entry 0/],
  ['[{"inode":1,"pos":2,"file":"/a"},{"inode":1,"file":"/a"}]', /"pos" in entry 1/],
  ['[{"inode":1,"pos":2}]', /"file" in entry 0/],
  ['[{"inode":1,"pos":-2,"file":"/a"}]', /"pos"/],
  ['[{"inode":"1","pos":2,"file":"/a"}]', /"inode"/],
  ["[null]", /"inode"/],
] as const;
for (const [text, want] of invalid) {
  void test(`${text} is refused as POSITION_FILE_INVALID, naming the file`, () => {
    assert.throws(
      () => parsePositions(text, "/state/positions.json"),
      (error) => {
        assert.ok(error instanceof MillraceError && error.code === "POSITION_FILE_INVALID");
        assert.match(error.message, want);
        assert.match(error.message, /\/state\/positions\.json/);
        return true;
      },
    );
  });
}

void test("what is saved is loaded, fingerprints beside the positions", async (test) => {
  const path = join(await tempDirectory(test), "positions.json");
  assert.deepEqual(await loadPositions(files, path, assert.fail), []);
  await savePositions(files, path, saved);
  assert.deepEqual(await loadPositions(files, path, assert.fail), saved);
  assert.equal(await readFile(path, "utf8"), formatPositions(saved));
});

void test("a side file that is not ours is told of, and the positions count without it", async (test) => {
  const path = join(await tempDirectory(test), "positions.json");
  for (const content of ["", "[]", '{"version":2,"files":[]}', '{"version":1,"files":[{}]}']) {
    await savePositions(files, path, saved);
    await writeFile(`${path}.millrace`, content);
    const told: string[] = [];
    const loaded = await loadPositions(files, path, (side) => told.push(side));
    assert.deepEqual(told, [`${path}.millrace`]);
    assert.deepEqual(
      loaded.map(({ fingerprint }) => fingerprint),
      [undefined, undefined],
    );
  }
});

void test("a crash while saving leaves the old positions or the new, whole", async (test) => {
  const path = join(await tempDirectory(test), "positions.json");
  const old = saved.slice(0, 1);
  const seen = new Set<number>();
  for (let diesAt = 1; ; diesAt++) {
    await savePositions(files, path, old);
    const dying = createFailingFiles(files, (n) => n >= diesAt);
    await savePositions(dying, path, saved).catch(() => {});
    const loaded = await loadPositions(files, path, assert.fail);
    assert.ok([1, 2].includes(loaded.length), `died at ${diesAt}`);
    assert.deepEqual(loaded[0], saved[0]);
    seen.add(loaded.length);
    if (dying.failures === 0) break;
  }
  assert.deepEqual(seen, new Set([1, 2]));
});

void test("a side file that knows a file by its old name still tells it from another", async (test) => {
  const path = join(await tempDirectory(test), "positions.json");
  const [first] = saved as [SavedFile];
  await savePositions(files, path, [first]);
  await writeFile(path, formatPositions([{ ...first, file: "/var/log/test1/renamed.log" }]));
  const [loaded] = await loadPositions(files, path, assert.fail);
  assert.deepEqual(loaded?.fingerprint, first.fingerprint);
});
