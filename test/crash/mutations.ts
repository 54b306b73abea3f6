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
    says: /a group that failed half way leaves nothing for a shorter one to run into/,
  },
  {
    rule: "F4",
    without: "the log goes on after a failed sync",
    file: "log/log-writer.ts",
    find: "return error instanceof SyncError;",
    replace: "return error instanceof SyncError && false;",
    run: ["histories", "failed-syncs", 1, 200],
    says: either(lost, back, refused),
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
    without: "former segments are freed before a group behind the new header is synced",
    file: "log/active-segment.ts",
    find: "if (this.#fresh) return;",
    replace: "",
    run: "damage.test.ts",
    says: /a header that rots at any moment of a start is noticed/,
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
    says: /a spare is used again only behind the sync of its directory/,
  },
  {
    rule: "step 6",
    without: "a start does not copy what is not proven",
    file: "log/open-log.ts",
    find: "const copies = recovered === undefined ? [] : await copyRecords(recovered);",
    replace:
      "const copies = recovered === undefined ? [] : (await copyRecords(recovered)).slice(0, 0);",
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
    run: ["enumerate", "two directories", 1, 4],
    says: either(lost, refused),
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
    rule: "the last record of a group",
    without: "acknowledgements count as synced when they are written",
    file: "log/active-segment.ts",
    find: "this.#unsyncedAcks.push(...acknowledged);",
    replace: "this.#parts.state.acknowledge(acknowledged);",
    run: ["histories", "crashes", 1, 400],
    says: either(lost, refused, back),
  },
];
