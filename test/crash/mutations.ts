/** A rule of the log taken away, and the simulation that must notice. */
export interface Mutation {
  /** The rule, as the specification and the comments call it. */
  readonly rule: string;
  readonly without: string;
  /** Below packages/file-channel/src. */
  readonly file: string;
  /** Found exactly once, spaces and line ends taken as equal. */
  readonly find: string;
  readonly replace: string;
  /** Words for simulate.ts, or a test file below packages/file-channel/src. */
  readonly run: readonly [string, string, number, number] | string;
  /** What the failure says. */
  readonly says: RegExp;
}

const lost = /was told OK and is lost/;
const refused = /CHANNEL_CORRUPT|CHANNEL_DIRECTORY/;
const renamed = /is the name of \d+ and of \d+/;
const back = /was acknowledged or cut and is back/;
const either = (...all: readonly RegExp[]): RegExp =>
  new RegExp(all.map(({ source }) => source).join("|"));

export const mutations: readonly Mutation[] = [
  {
    rule: "F1",
    without: "a new segment's name is not synced before its header",
    file: "log/segment-store.ts",
    find: `try { await this.#syncDirectory(root); } catch (error) { await handle.close(); throw error; }`,
    replace: "",
    run: ["histories", "crashes", 1, 200],
    says: either(lost, refused),
  },
  {
    rule: "F2",
    without: "puts resolve before their sync",
    file: "log/log-writer.ts",
    find: "if (this.#options.fsyncPerTransaction || puts.length === 0) await",
    replace: "if (puts.length === 0) await",
    run: ["histories", "crashes", 1, 200],
    says: lost,
  },
  {
    rule: "F3",
    without: "a segment is written on after a write to it failed",
    file: "log/active-segment.ts",
    find: "} catch (error) { this.#ended = true; this.#parts.log.warn(",
    replace: "} catch (error) { if (Date.now() > 0) throw error; this.#parts.log.warn(",
    run: "durability.test.ts",
    says: /not ok \d+ - a group that failed half way leaves nothing for a shorter one to run into/,
  },
  {
    rule: "F4",
    without: "the log goes on after a failed sync",
    file: "log/log-writer.ts",
    find: "return error instanceof SyncError;",
    replace: "return error instanceof SyncError && false;",
    run: ["histories", "failed-syncs", 1, 200],
    says: either(lost, back, refused, renamed),
  },
  {
    rule: "F5",
    without: "a segment is freed before a snapshot that does not list it is synced",
    file: "log/active-segment.ts",
    find: "one.unacknowledged === 0 && !this.#listed.has(one.id),",
    replace: "one.unacknowledged === 0,",
    run: ["histories", "crashes", 1, 200],
    says: refused,
  },
  {
    rule: "F5, the header",
    without: "a start frees former segments before a group behind its opening is synced",
    file: "log/open-log.ts",
    find: "await active.write([markRecord(state)], false);",
    replace: "",
    run: "damage.test.ts",
    says: /not ok \d+ - a header that rots at any moment of a start behind acknowledgements/,
  },
  {
    rule: "F6",
    without: "a close writes no acknowledgements and no mark",
    file: "log/log-writer.ts",
    find: "if (this.#failure === undefined) { if (!this.#acks.isEmpty)",
    replace: "if (this.#closing && this.#waiting.length > 0) { if (!this.#acks.isEmpty)",
    run: ["histories", "crashes", 1, 200],
    says: back,
  },
  {
    rule: "F7",
    without: "a start refuses files that its snapshot does not list, as an unlink may leave",
    file: "log/recovery.ts",
    find: "const { unproven, clean, provesHeader } = walk;",
    replace: `if (leftovers.length > 0) throw corruptAt(file.path, 0, 0, undefined);
      const { unproven, clean, provesHeader } = walk;`,
    run: ["histories", "crashes", 1, 200],
    says: refused,
  },
  {
    rule: "F8",
    without: "a spare is used again before its rename is synced",
    file: "log/segment-store.ts",
    find: "await this.#files.rename(path, spare); await this.#syncDirectory(root);",
    replace: "await this.#files.rename(path, spare);",
    run: "durability.test.ts",
    says: /not ok \d+ - a spare is used again only behind the sync of its directory/,
  },
  {
    rule: "step 6",
    without: "a start does not copy what is not proven",
    file: "log/open-log.ts",
    find: "recovered === undefined ? [] : await copyRecords(",
    replace: "recovered === undefined || recovered !== null ? [] : await copyRecords(",
    run: ["histories", "crashes", 1, 200],
    says: lost,
  },
  {
    rule: "the order of an opening",
    without: "the header is written before the snapshot is synced",
    file: "log/write-segment.ts",
    find: "await syncFile(file.handle, file.path); beforeHeader();",
    replace: "beforeHeader();",
    run: ["histories", "crashes", 1, 400],
    says: either(lost, refused, back),
  },
  {
    rule: "directory syncs",
    without: "no directory of segments is ever synced",
    file: "log/segment-store.ts",
    find: "await this.#files.syncDirectory(path);",
    replace: "void path;",
    run: ["histories", "crashes", 1, 200],
    says: either(lost, refused),
  },
  {
    rule: "a header that was only read",
    without: "a start names a segment in its snapshot whose header may not be stored",
    file: "log/open-log.ts",
    find: "if (recovered?.provesHeader === false)",
    replace: "if (recovered?.provesHeader === undefined && recovered !== undefined)",
    run: "durability.test.ts",
    says: /not ok \d+ - what a start only read is stored when it serves/,
  },
  {
    rule: "the salt",
    without: "a recycled segment keeps the salt of its predecessor",
    file: "log/active-segment.ts",
    find: "salt: random.bytes(8),",
    replace: "salt: former.header.salt,",
    run: ["histories", "crashes", 1, 200],
    says: either(lost, refused, back),
  },
  {
    rule: "groupStart",
    without: "groups between two syncs claim that the one before is synced",
    file: "log/active-segment.ts",
    find: "groupStart: segment.end,",
    replace: "groupStart: this.#offset,",
    run: ["histories", "crashes", 1, 2000],
    says: either(lost, refused, back),
  },
  {
    rule: "step 4",
    without: "a start does not look behind the first record that does not verify",
    file: "log/recovery.ts",
    find: "if (proof !== undefined || walk.inOpening)",
    replace: "if (walk.inOpening)",
    run: "damage.test.ts",
    says: /not ok \d+ - a flip of any synced sector of a closed log is cut or refused, never silent/,
  },
  {
    rule: "the old header of a recycled file",
    without: "a recycled file's header is wiped before the new one is written",
    file: "log/write-segment.ts",
    find: "const isNew = (await file.handle.stat()).size < segmentHeaderBytes;",
    replace: "const isNew = true;",
    run: ["enumerate", "one directory", 1, 8],
    says: refused,
  },
  {
    rule: "the reserve",
    without: "a small spare counts as a whole segment of room kept back",
    file: "log/segment-store.ts",
    find: "Math.max(0, this.options.segmentBytes - spareBytes)",
    replace: "(spareBytes > 0 ? 0 : this.options.segmentBytes)",
    run: "full-disk.test.ts",
    says: /not ok \d+ - beside a small spare as much room is kept back for the next start/,
  },
];
