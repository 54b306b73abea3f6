import {
  type Clock,
  type FileSystem,
  type Histogram,
  type Log,
  MillraceError,
  type Random,
  writeFully,
} from "@millrace/core";
import { decodeRanges, encodeRanges } from "../format/snapshot.ts";
import { extType, type NewRecord, recordFlag, recordType } from "../format/record.ts";
import {
  formatOf,
  type FormatVersion,
  type SegmentHeader,
  segmentHeaderBytes,
} from "../format/segment-header.ts";
import type { Tlv } from "../format/tlv.ts";
import type { KeyProvider } from "../keys/key-provider.ts";
import { openSegmentKey } from "../keys/segment-key.ts";
import { beginSegment, noKeys, SegmentSealing } from "../keys/segment-sealing.ts";
import { ActiveSegment, type OpenedSegment } from "./active-segment.ts";
import { confirmIdentity, type Identity, leaveDirectories } from "./identity.ts";
import { LogState } from "./log-state.ts";
import { openRecords } from "./open-records.ts";
import { discardedBy, extValue, runOf } from "./record-extensions.ts";
import { readFully } from "./read-fully.ts";
import { findSegments, type Recovered, recover } from "./recovery.ts";
import { type Segment, segmentPath } from "./segment.ts";
import { type PreparedFile, SegmentStore, type StoreOptions } from "./segment-store.ts";
import { SyncError, syncFile } from "./sync-error.ts";
import { writeError, writeOpening } from "./write-segment.ts";

export interface OpenLogParts {
  readonly runtime: { clock: Clock; random: Random; files: FileSystem };
  readonly log: Log;
  readonly syncSeconds: Histogram;
  /** Opens encrypted segments. */
  readonly keys?: KeyProvider | undefined;
  /** The key new segments are encrypted with; they are plain without one. */
  readonly activeKey?: string | undefined;
}

export interface OpenedLog {
  readonly state: LogState;
  readonly store: SegmentStore;
  readonly active: ActiveSegment;
  /** What the last run left: bytes that were cut off, and whether it closed in order. */
  readonly cutBytes: number;
  readonly clean: boolean;
}

const emptySnapshot = {
  lowest: 1,
  acknowledged: [],
  putTotal: 0,
  takenTotal: 0,
  discardedTotal: 0,
  segments: [],
};

/**
 * Recovery, steps 2 to 7. The directories are locked and identified. Nothing that was there is
 * written over or removed before the new segment is proven: a crash anywhere before repeats
 * recovery from the same bytes. Repair gives a `recoverFrom` of its own, which knows more.
 */
export async function openLog(
  parts: OpenLogParts,
  identity: Identity,
  options: StoreOptions & { readonly groupAlign: number },
  recoverFrom: typeof recover = recover,
): Promise<OpenedLog> {
  const { runtime, log, syncSeconds } = parts;
  const { leaving } = identity;
  const directories = [...identity.directories, ...leaving];
  const store = new SegmentStore({ ...options, directories, leaving: leaving.length }, runtime, log); // prettier-ignore
  const found = await findSegments(runtime.files, directories);
  const recovered = await recoverFrom(runtime.files, identity.channel, found, log);
  if (recovered === undefined && identity.ready) {
    throw new MillraceError(
      "CHANNEL_CORRUPT",
      `no segment in ${directories.join(", ")} has a valid header; keep the directories, and check that their disks are mounted and whole`,
    );
  }
  let sealing: SegmentSealing | undefined;
  try {
    sealing = await SegmentSealing.prepare(parts.activeKey, parts.keys, runtime.random);
    // A repair copies no event, so it needs no keys.
    if (recoverFrom === recover) await checkKeys(recovered, parts.keys);
    if (recovered !== undefined) refuseLiveLeaving(recovered.state, identity);
  } catch (error) {
    await recovered?.newest.handle?.close();
    throw error;
  }
  const state = recovered?.state ?? new LogState(emptySnapshot, 1);
  const named = found.flatMap(({ namedId, header }) => [namedId, header?.id ?? 0]);
  const opener = new Opener(parts, store, state, identity, options.groupAlign, sealing);
  try {
    await store.adoptSpares();
    if (recovered?.provesHeader === false) await storeHeader(recovered.newest);
    const opened = await opener.open(recovered);
    const active = new ActiveSegment(
      { state, store, clock: runtime.clock, random: runtime.random, log, syncSeconds, sealing },
      { ...opened, lastId: Math.max(opened.segment.id, ...named) },
    );
    // Proves the opening's header, so that from here on its damage would be seen; then frees.
    await active.write([markRecord(state)], false);
    await active.sync([]);
    if (!identity.ready) await confirmIdentity(runtime.files, identity);
    await active.tidy();
    for (const { directory, path, header } of recovered?.leftovers ?? []) {
      if (path !== opened.segment.path) await store.discard(directory, path, header);
    }
    await leaveDirectories(runtime.files, identity, log);
    sayLaterFormats(state, options.formatVersion, log);
    const { cutBytes = 0, clean = true } = recovered ?? {};
    return { state, store, active, cutBytes, clean };
  } catch (error) {
    for (const { handle } of state.segments) await handle?.close().catch(() => undefined);
    throw error instanceof SyncError ? failedSync(error) : error;
  }
}

/** Step 6: the new segment, holding the snapshot as of P and copies of what is not proven. */
class Opener {
  readonly #parts: OpenLogParts;
  readonly #store: SegmentStore;
  readonly #state: LogState;
  readonly #identity: Identity;
  readonly #groupAlign: number;
  readonly #sealing: SegmentSealing | undefined;

  constructor(
    parts: OpenLogParts,
    store: SegmentStore,
    state: LogState,
    identity: Identity,
    groupAlign: number,
    sealing: SegmentSealing | undefined,
  ) {
    this.#parts = parts;
    this.#store = store;
    this.#state = state;
    this.#identity = identity;
    this.#groupAlign = groupAlign;
    this.#sealing = sealing;
  }

  async open(recovered: Recovered | undefined): Promise<Omit<OpenedSegment, "lastId">> {
    const newest = recovered?.newest;
    const copies = recovered === undefined ? [] : await copyRecords(recovered, this.#parts.keys);
    const inUse = new Set(this.#state.segments.map(({ path }) => path));
    if (newest !== undefined) this.#store.continueBehind(newest.directory);
    let id = recovered?.nextId ?? (newest?.id ?? 0) + 1;
    let failure: unknown;
    for (const directory of await this.#store.directoryOrder()) {
      while (this.#identity.directories.some((root) => inUse.has(segmentPath(root, id)))) id++;
      let file: PreparedFile | undefined;
      try {
        file = await this.#store.prepare(directory, id, true);
        return await this.#write(file, id, newest, copies);
      } catch (error) {
        await file?.handle.close();
        if (error instanceof SyncError || error instanceof MillraceError) throw error;
        failure = error;
        // Its header may be there all the same: the next one must be newer.
        id++;
      }
    }
    throw writeError(failure, "a segment for this start");
  }

  async #write(
    file: PreparedFile,
    id: number,
    newest: Segment | undefined,
    copies: readonly NewRecord[],
  ): Promise<Omit<OpenedSegment, "lastId">> {
    const state = this.#state;
    const { random } = this.#parts.runtime;
    const snapshot = state.snapshot();
    const plain: SegmentHeader = {
      channel: this.#identity.channel,
      id,
      run: random.bytes(8).toString("hex"),
      salt: random.bytes(8),
      firstSequence: state.nextSequence,
      previousId: newest?.id ?? 0,
      previousEnd: newest?.end ?? 0,
      groupAlign: this.#groupAlign,
    };
    const { header, sealer } = beginSegment(plain, this.#sealing);
    const nothing = (): void => undefined;
    const offset = await writeOpening(file, header, snapshot, copies, nothing, sealer);
    const { directory, path, handle } = file;
    const nextSequence = state.nextSequence;
    const segment = { id, directory, path, header, nextSequence, end: offset, unacknowledged: 0, handle }; // prettier-ignore
    state.segments.push(segment);
    for (const copy of copies) {
      if (copy.type === recordType.put) state.put(segment, copy.count);
      else {
        const body = Buffer.concat(copy.body);
        for (const { value } of copy.ext.filter(({ type }) => type === extType.discarded)) {
          for (const range of decodeRanges(value, value.length / 16) ?? []) state.discard(range);
        }
        state.acknowledge(decodeRanges(body, copy.count) ?? []);
      }
    }
    return { segment, sealer, offset, listed: new Set(snapshot.segments.map((live) => live.id)) };
  }
}

/**
 * A header that was read may stand in the cache only: its writer was killed before the sync, or the
 * sync failed. The new snapshot will name this segment, so its header is written again, the same
 * bytes, which makes them dirty, and synced.
 */
async function storeHeader({ handle, path }: Segment): Promise<void> {
  if (handle === undefined) return;
  const bytes = Buffer.alloc(segmentHeaderBytes);
  await readFully(handle, bytes, 0);
  await writeFully(handle, [bytes], 0);
  await syncFile(handle, path);
}

/** A directory may leave the channel only when nothing in it is needed. */
function refuseLiveLeaving(state: LogState, { directories, leaving }: Identity): void {
  for (const [index, path] of leaving.entries()) {
    const live = state.segments.filter(
      (segment) => segment.directory === directories.length + index && segment.unacknowledged > 0,
    );
    if (live.length === 0) continue;
    const events = live.reduce((sum, { unacknowledged }) => sum + unacknowledged, 0);
    throw new MillraceError(
      "CHANNEL_DIRECTORY",
      `${path} is not in dataDirs any more but holds ${events} events in ${live.length} segments; put it back until they are delivered`,
      { context: { directory: path, events, segments: live.length } },
    );
  }
}

/** What still keeps the version before from these directories, though nothing new does. */
function sayLaterFormats(state: LogState, formatVersion: FormatVersion, log: Log): void {
  const later = state.segments.filter(({ header }) => formatOf(header) > formatVersion);
  if (later.length === 0) return;
  const events = later.reduce((sum, { unacknowledged }) => sum + unacknowledged, 0);
  log.warn(
    `${later.length} segments with ${events} events are of a later format than formatVersion = ${formatVersion}: a version that reads no later one refuses the directories until they are drained`,
  );
}

/** Refuses a start that could not read what it holds, before anything is written. */
async function checkKeys(
  recovered: Recovered | undefined,
  keys: KeyProvider | undefined,
): Promise<void> {
  for (const segment of recovered?.state.segments ?? []) {
    const { header, path, unacknowledged } = segment;
    if (header.encryption === undefined) continue;
    const copied = segment === recovered?.newest && recovered.unproven.length > 0;
    if (unacknowledged === 0 && !copied) continue;
    const { keyAlias } = header.encryption;
    if (keys === undefined) throw noKeys(`${path} is encrypted with the key "${keyAlias}"`);
    await openSegmentKey(header, keys);
  }
}

/** The records of `[P, X)`, each to be written again with the run it was first written in. */
async function copyRecords(
  { newest, unproven }: Recovered,
  keys: KeyProvider | undefined,
): Promise<NewRecord[]> {
  const { handle, header } = newest;
  if (handle === undefined || unproven.length === 0) return [];
  const limit = Number.MAX_SAFE_INTEGER;
  const reader = await openRecords(handle, header, { limit, windowBytes: 64 * 1024, keys });
  const copies: NewRecord[] = [];
  for (const offset of unproven) {
    const record = await reader.read(offset);
    if (record === undefined) {
      throw new MillraceError(
        "CHANNEL_CORRUPT",
        `${newest.path} read differently at ${offset} a moment later; check the disk`,
      );
    }
    const { type, flags, sequence, count } = record.head;
    const putTime = extValue(record, extType.putTime);
    const ext: Tlv[] = [];
    if (putTime !== undefined) ext.push({ type: extType.putTime, value: copyOf(putTime) });
    if (type === recordType.put) {
      ext.push({ type: extType.run, value: Buffer.from(runOf(record, header), "hex") });
    }
    const discarded = type === recordType.ack ? discardedBy(record) : [];
    if (discarded.length > 0) {
      ext.push({ type: extType.discarded, value: encodeRanges(discarded) });
    }
    const plain = flags & ~recordFlag.last;
    copies.push({ type, flags: plain, sequence, count, ext, body: [copyOf(record.body)] });
  }
  return copies;
}

function copyOf(bytes: Buffer): Buffer {
  return Buffer.from(bytes);
}

function markRecord(state: LogState): NewRecord {
  const sequence = state.nextSequence;
  return { type: recordType.mark, flags: 0, sequence, count: 0, ext: [], body: [] };
}

function failedSync(error: SyncError): MillraceError {
  return new MillraceError(
    "CHANNEL_FAILED",
    `${error.message}; start again once the disk is whole`,
    {
      cause: error,
    },
  );
}
