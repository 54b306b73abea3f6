import {
  type FileHandle,
  fileExists,
  createHistogram,
  MillraceError,
  silentLog,
  socketLocks,
  toMillraceError,
  writeFully,
} from "@millrace/core";
import { recordFlag, recordType } from "../format/record.ts";
import { newestFormat } from "../format/segment-header.ts";
import { makeDurableDirectory, writeClaim } from "../log/claim.ts";
import { readIdentity } from "../log/identity.ts";
import { lockDirectories } from "../log/lock-directories.ts";
import { type OpenedLog, openLog } from "../log/open-log.ts";
import type { FoundFile, Recovered } from "../log/recovery.ts";
import type { Segment } from "../log/segment.ts";
import { syncFile } from "../log/sync-error.ts";
import { planRepair, type RepairOptions, type RepairPlan } from "./repair-plan.ts";
import { readBytes, withFile } from "./segment-files.ts";
import { writeSetAside } from "./set-aside-writer.ts";
import type { ToolContext } from "./tool-context.ts";

/** A directory that was given up may come back one day: what it holds must not look newer. */
const idsAheadOfLost = 0x10_0000;
const segmentBytes = 64 * 1024 * 1024;
const chunkBytes = 1024 * 1024;

/** A channel under its lock, looked at; `run` does what the plan says, once. */
export interface Repair {
  readonly plan: RepairPlan;
  /** Resolves with the directories of what was set aside. Killed at any point, it can be run again. */
  run(): Promise<{ readonly setAside: readonly string[] }>;
  /** Gives the locks back. */
  close(): Promise<void>;
}

/**
 * Takes the locks and plans. Throws CHANNEL_LOCKED while an agent has one of the directories, and
 * as `planRepair`.
 */
export async function openRepair(
  paths: readonly string[],
  options: RepairOptions,
  context: ToolContext,
): Promise<Repair> {
  const { runtime } = context;
  const { files, clock, locks = socketLocks } = runtime;
  const existing: string[] = [];
  for (const path of paths) if (await fileExists(files, path)) existing.push(path);
  const wait = { locks, clock, log: silentLog, waitMs: 0, aborted: new AbortController().signal };
  const held = await lockDirectories(existing, wait);
  const close = async (): Promise<void> => {
    for (const lock of held) await lock.release();
  };
  try {
    const plan = await planRepair(paths, options, context);
    return { plan, close, run: () => runPlan(plan, context) };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * What is given up is copied first; then what lies in place is set right, each step of which leaves
 * the channel as refused as it was; the new snapshot is the last, and the one that counts.
 */
async function runPlan(
  plan: RepairPlan,
  context: ToolContext,
): Promise<{ setAside: readonly string[] }> {
  if (!plan.isNeeded) return { setAside: [] };
  const { files, clock } = context.runtime;
  try {
    const setAside = await writeSetAside(files, plan, clock.now());
    for (const { one, range } of plan.unreadable) {
      await writeInPlace(files, one.file.path, range.from, Buffer.alloc(range.to - range.from));
    }
    for (const { file, rebuilt } of plan.headers) {
      if (rebuilt !== undefined) await writeInPlace(files, file.path, 0, rebuilt);
    }
    await writeClaims(plan, context);
    if (plan.writesSnapshot) {
      await storeTail(plan, context);
      await writeSnapshot(plan, context);
    }
    return { setAside };
  } catch (error) {
    const failed = toMillraceError(error, "WRITE_FAILED");
    throw new MillraceError(
      failed.code,
      `the repair did not end: ${failed.message}; nothing that was sound is lost, and running it again goes on`,
      { cause: error, context: failed.context },
    );
  }
}

type Files = ToolContext["runtime"]["files"];

async function writeInPlace(files: Files, path: string, at: number, bytes: Buffer): Promise<void> {
  const handle = await files.open(path, "write");
  try {
    await writeFully(handle, [bytes], at);
    await syncFile(handle, path);
  } finally {
    await handle.close();
  }
}

async function writeClaims({ identity, survey }: RepairPlan, context: ToolContext): Promise<void> {
  const { files } = context.runtime;
  const { channel } = survey;
  for (const { directory, index } of identity.claims) {
    if (!directory.isPresent) await makeDurableDirectory(files, directory.path);
    const claim = { channel, index, count: identity.count, ready: true, ...identity.shared };
    await writeClaim(files, directory.path, { format: 1, ...claim });
  }
}

/**
 * The newest segment's last bytes were read, which does not mean that they are stored: they are
 * written again as they are and synced, so that the snapshot may count on them.
 */
async function storeTail(
  { survey: { walk, newest } }: RepairPlan,
  context: ToolContext,
): Promise<void> {
  const { files } = context.runtime;
  const { path } = newest.file;
  const { provenEnd, end } = walk;
  if (end <= provenEnd) return;
  for (let at = provenEnd; at < end; at += chunkBytes) {
    const length = Math.min(chunkBytes, end - at);
    const bytes = await withFile(files, path, (handle) => readBytes(handle, at, length));
    await writeInPlace(files, path, at, bytes);
  }
}

/** The rest is a start: a segment with a snapshot, proven by the mark behind it, closed in order. */
async function writeSnapshot(plan: RepairPlan, context: ToolContext): Promise<void> {
  const { runtime } = context;
  const { indexOfPlace } = plan.identity;
  const { directories: surveyed, newest } = plan.survey;
  const paths = surveyed.filter(({ place }) => indexOfPlace.has(place)).map(({ path }) => path);
  const identity = await readIdentity(runtime.files, runtime.random, paths);
  const handle = await runtime.files.open(newest.file.path, "write");
  let opened: OpenedLog | undefined;
  try {
    opened = await openLog(
      { runtime, log: silentLog, syncSeconds: createHistogram() },
      identity,
      {
        directories: identity.directories,
        segmentBytes,
        minimumRequiredSpaceBytes: 0,
        minimumRequiredSpacePercent: 0,
        formatVersion: newestFormat,
        groupAlign: newest.header.groupAlign,
      },
      (_files, _channel, found) => Promise.resolve(recoveredBy(plan, found, handle)),
    );
    const { state, active } = opened;
    const mark = { type: recordType.mark, flags: recordFlag.clean, count: 0, ext: [], body: [] };
    await active.write([{ ...mark, sequence: state.nextSequence }], false);
    await active.sync([]);
  } finally {
    await (opened === undefined ? handle.close().catch(() => undefined) : opened.active.close());
  }
}

/** What the survey found, with what is lost settled, in the words of a start. */
function recoveredBy(
  { survey, identity, lost }: RepairPlan,
  found: readonly FoundFile[],
  handle: FileHandle,
): Recovered {
  const { state } = survey;
  for (const { sequences } of lost) {
    for (const range of sequences) state.discard(range);
    state.acknowledge(sequences);
  }
  const segments = survey.segments.map(({ segment }): Segment => {
    const known = state.segments.find((one) => one === segment) ?? segment;
    const directory = identity.indexOfPlace.get(known.directory) ?? 0;
    const isNewest = segment === survey.newest.segment;
    return { ...known, directory, handle: isNewest ? handle : undefined };
  });
  state.segments = segments;
  const newest = segments.at(-1) as Segment;
  const used = new Set(segments.map(({ path }) => path));
  return {
    state,
    newest,
    provesHeader: false,
    unproven: [],
    leftovers: found.filter(({ path }) => !used.has(path)),
    cutBytes: 0,
    clean: false,
    ...(identity.lost.length > 0 ? { nextId: newest.id + idsAheadOfLost } : {}),
  };
}
