import { fileExists, type FileSystem, MillraceError, writeFully } from "@millrace/core";
import { basename, join } from "node:path";
import { segmentHeaderBytes } from "../format/segment-header.ts";
import { identityFile } from "../log/claim.ts";
import type { RepairPlan } from "./repair-plan.ts";
import { openTolerant } from "./segment-files.ts";
import { setAsideList, type SetAsideRange } from "./set-aside.ts";
import type { ByteRange } from "../log/tolerant-handle.ts";

const chunkBytes = 1024 * 1024;

/** A copy of some of a file. */
interface Copy {
  readonly place: number;
  readonly source: string;
  /** The whole file where there is none. */
  readonly range?: ByteRange;
  readonly name: string;
  readonly what: string;
  readonly listed?: SetAsideRange;
}

/**
 * Copies everything that the repair is going to give up or write over, in each directory into a
 * `set-aside-<time>` of its own, synced when it resolves. Nothing else is written.
 */
export async function writeSetAside(
  files: FileSystem,
  plan: RepairPlan,
  nowMs: number,
): Promise<string[]> {
  const copies = copiesOf(plan);
  const made: string[] = [];
  for (const { place, path, isPresent } of plan.survey.directories) {
    const here = copies.filter((copy) => copy.place === place);
    if (!isPresent || (here.length === 0 && (made.length > 0 || plan.lostCount === 0))) continue;
    const directory = await makeDirectory(files, path, nowMs);
    for (const copy of here) await copyRange(files, copy, join(directory, copy.name));
    const ranges = here.flatMap(({ listed }) => listed ?? []);
    const list = { format: 1, time: new Date(nowMs).toISOString(), ranges, lost: plan.lost };
    await writeFile(files, join(directory, "read-me.txt"), readMe(plan, here, nowMs));
    await writeFile(
      files,
      join(directory, setAsideList),
      `${JSON.stringify(list, undefined, 2)}\n`,
    );
    await files.syncDirectory(directory);
    made.push(directory);
  }
  return made;
}

function copiesOf({ damage, headers, unusable, identity }: RepairPlan): Copy[] {
  return [
    ...damage.map(({ one: { file, header }, range }) => ({
      place: file.place,
      source: file.path,
      range,
      name: `${basename(file.path, ".seg")}-${range.from}-${range.to}.bin`,
      what: `bytes ${range.from} to ${range.to - 1} of ${file.path}`,
      listed: { segment: header.id, run: header.run, from: range.from, to: range.to },
    })),
    ...headers.map(({ file }) => ({
      place: file.place,
      source: file.path,
      range: { from: 0, to: segmentHeaderBytes },
      name: `${basename(file.path, ".seg")}.header`,
      what: `the header of ${file.path}, bytes 0 to ${segmentHeaderBytes - 1}`,
    })),
    ...unusable.map(({ path, place }) => ({
      place,
      source: path,
      name: `${basename(path)}.whole`,
      what: `the whole of ${path}`,
    })),
    ...identity.claims
      .filter(({ directory: { claimProblem = "" } }) => !claimProblem.endsWith("missing"))
      .filter(({ directory: { isPresent } }) => isPresent)
      .map(({ directory: { path, place } }) => ({
        place,
        source: join(path, identityFile),
        name: identityFile,
        what: `${join(path, identityFile)} as it was`,
      })),
  ];
}

async function makeDirectory(files: FileSystem, root: string, nowMs: number): Promise<string> {
  const time = new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, "");
  let path = join(root, `set-aside-${time}`);
  for (let i = 2; await fileExists(files, path); i++) path = join(root, `set-aside-${time}-${i}`);
  await files.makeDirectory(path);
  await files.syncDirectory(root);
  return path;
}

async function copyRange(files: FileSystem, { source, range }: Copy, to: string): Promise<void> {
  const from = await openTolerant(files, source);
  const target = await files.open(to, "create");
  try {
    const { size } = await from.stat();
    const start = range?.from ?? 0;
    const end = Math.min(range?.to ?? size, size);
    const chunk = Buffer.alloc(Math.min(chunkBytes, Math.max(0, end - start)));
    for (let at = start; at < end; at += chunk.length) {
      const read = await from.read(chunk, 0, Math.min(chunk.length, end - at), at);
      if (read === 0) break;
      await writeFully(target, [chunk.subarray(0, read)], at - start);
    }
    await target.datasync();
  } catch (error) {
    throw new MillraceError(
      "WRITE_FAILED",
      `${to} could not be written: ${String(error)}; nothing of the channel was changed; make room on this disk and repair again`,
      { cause: error },
    );
  } finally {
    await target.close();
    await from.close();
  }
}

async function writeFile(files: FileSystem, path: string, text: string): Promise<void> {
  const handle = await files.open(path, "create");
  try {
    await writeFully(handle, [Buffer.from(text)], 0);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

function readMe(plan: RepairPlan, copies: readonly Copy[], nowMs: number): string {
  const { lost, lostCount, steps, guesses, survey } = plan;
  const lines = [
    `millrace file-channel repair, ${new Date(nowMs).toISOString()}`,
    `channel ${survey.channel} in ${survey.directories.map(({ path }) => path).join(", ")}`,
    "",
    "Copies in this directory (blocks the disk could not read are zeros):",
    ...copies.map(({ name, what }) => `  ${name}: ${what}`),
    "",
    lostCount === 0 ? "No event was lost." : `Lost events: ${lostCount}`,
    ...lost.map((one) => `  ${describeLost(one)}`),
    "",
    "What was done:",
    ...steps.map((step) => `  ${step}`),
    ...guesses.map((guess) => `  note: ${guess}`),
    "",
    "The channel needs nothing of this directory. Remove it when nobody wants to look any more.",
  ];
  return `${lines.join("\n")}\n`;
}

/** A line for people: which events, and where they stood. */
export function describeLost({
  path,
  range,
  sequences,
  count,
}: RepairPlan["lost"][number]): string {
  const which = sequences
    .map(({ first, end }) => (end - first === 1 ? `${first}` : `${first} to ${end - 1}`))
    .join(", ");
  const where = range === undefined ? path : `${path} bytes ${range.from} to ${range.to - 1}`;
  return `${count} ${count === 1 ? "event" : "events"} at ${where}: sequences ${which}`;
}
