import assert from "node:assert/strict";
import { decodeSegmentHeader, segmentHeaderBytes } from "./format/segment-header.ts";
import type { FileChannelOptions } from "./options.ts";
import { idsOf, never, put, simDisk, sized } from "./sim-channel.test.ts";
import { MillraceError } from "@millrace/core";

export type Sim = ReturnType<typeof simDisk>;

/** Stored files by path. */
export type Image = ReadonlyMap<string, Buffer>;

/** What the disk holds now. */
export function imageOf({ disk }: Sim): Image {
  return new Map(disk.paths("/data").map((path) => [path, bytesOf(disk, path)]));
}

/** A disk of its own that holds the image, synced. */
export async function diskOf(image: Image, options: { sectorBytes?: number } = {}): Promise<Sim> {
  const sim = simDisk(options);
  const { files } = sim.disk.boot();
  for (const [path, bytes] of image) {
    await files.makeDirectory(path.slice(0, path.lastIndexOf("/")));
    const handle = await files.open(path, "create");
    if (bytes.length > 0) await handle.write([bytes], 0);
    await handle.datasync();
    await files.syncDirectory(path.slice(0, path.lastIndexOf("/")));
  }
  return sim;
}

export function segmentsOf({ disk }: Sim, directory = "/data"): string[] {
  const paths = disk.paths(directory).filter((path) => /\/0[^/]*\.seg$/.test(path));
  return paths.sort((a, b) => a.slice(-20).localeCompare(b.slice(-20)));
}

export function newestOf(sim: Sim): string {
  return segmentsOf(sim).at(-1) as string;
}

export function bytesOf(
  disk: { file(path: string): { content: Buffer; length: number } },
  path: string,
): Buffer {
  const { content, length } = disk.file(path);
  return Buffer.from(content.subarray(0, length));
}

/** What a start and taking everything show: all there is, or an error that names the damage. */
export async function outcome(
  sim: Sim,
  options: Partial<FileChannelOptions> = {},
): Promise<{ ids: number[]; error: MillraceError | undefined }> {
  const ids: number[] = [];
  try {
    const { channel } = await sim.open(options);
    while (channel.size > ids.length) {
      const take = await channel.beginTake(1000);
      ids.push(...idsOf(take.batch));
    }
    return { ids, error: undefined };
  } catch (error) {
    assert.ok(error instanceof MillraceError, String(error));
    return { ids, error };
  }
}

/**
 * Three groups of five events in the newest segment, behind a backlog of 1 to `backlog` in older
 * ones, each proven by what is behind it; then the process was killed.
 */
export async function threeGroups(
  backlog = 0,
  options: Partial<FileChannelOptions> = {},
): Promise<Sim> {
  const sim = simDisk();
  const before = await sim.open(options);
  for (let id = 1; id <= backlog; id += 5) await put(before.channel, sized(id, id + 4, 900));
  await before.channel.stop(never);
  const { channel, clock } = await sim.open(options);
  for (let group = 0; group < 3; group++) {
    const id = backlog + 1 + group * 5;
    await put(channel, sized(id, id + 4, 300));
  }
  await clock.advance(500);
  sim.disk.kill();
  return sim;
}

/** Where in its segment the record that holds an event begins. */
export function recordOf(sim: Sim, id: number): { path: string; offset: number } {
  const body = Buffer.from(String(id).padEnd(12), "latin1");
  for (const path of segmentsOf(sim)) {
    const content = bytesOf(sim.disk, path);
    const at = content.indexOf(body, segmentHeaderBytes);
    const salt = decodeSegmentHeader(content.subarray(0, segmentHeaderBytes), path)?.salt;
    if (at < 0 || salt === undefined) continue;
    return { path, offset: content.lastIndexOf(salt, at) - 8 };
  }
  return assert.fail(`event ${id} is in no segment`);
}

export function flipBit(sim: Sim, path: string, offset: number): void {
  const file = sim.disk.file(path);
  file.damage(offset, Buffer.from([(file.content[offset] as number) ^ 0x10]));
}
