import type { SimulatedDisk } from "@millrace/testing";
import { type Boot, createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import type { FileChannelOptions } from "../options.ts";
import { drain, idsOf, never, put, range, simDisk, sized } from "../sim-channel.test.ts";
import { dumpChannel } from "./dump.ts";
import type { ToolContext } from "./tool-context.ts";

export interface TestChannel extends ReturnType<typeof simDisk> {
  readonly dataDirs: readonly string[];
  readonly options: Partial<FileChannelOptions>;
  /** Ids of the events that are to be delivered, in order. */
  readonly held: readonly number[];
  /** Ids of events that were delivered and acknowledged. */
  readonly settled: readonly number[];
  /** The sequence of each event that is to be delivered. */
  readonly sequences: ReadonlyMap<number, number>;
}

/**
 * Events 1 to 46 over several segments, some of them recycled; 1 to 7 and 9 are delivered. Closed in
 * order, or killed with the last group not proven.
 */
export async function writtenChannel(
  options: Partial<FileChannelOptions> = {},
  killed = false,
): Promise<TestChannel> {
  const sim = simDisk();
  const { dataDirs = ["/data/one"] } = options;
  const before = await sim.open(options);
  for (let i = 0; i < 12; i++) {
    await put(before.channel, sized(1000 + i * 5, 1004 + i * 5, 700));
    await drain(before.channel, 5);
  }
  await before.channel.stop(never);
  const { channel, clock } = await sim.open(options);
  for (let i = 0; i < 8; i++) await put(channel, sized(1 + i * 5, 5 + i * 5, 700));
  const take = await channel.beginTake(9);
  await take.commit([
    { from: 0, to: 7 },
    { from: 8, to: 9 },
  ]);
  await clock.advance(500);
  await put(channel, sized(41, 44, 700));
  await put(channel, sized(45, 45, 100));
  await put(channel, sized(46, 46, 100));
  if (killed) sim.disk.kill();
  else await channel.stop(never);
  const held = [8, ...range(10, 46)];
  const known = { ...sim, dataDirs, options, held, settled: [...range(1, 7), 9] };
  const sequences = await sequencesOf(known);
  return { ...known, sequences };
}

/** The same bytes on a disk of their own. */
export async function copyOf(original: TestChannel): Promise<TestChannel> {
  const sim = simDisk({ seed: 2 });
  const { files } = sim.disk.boot();
  for (const directory of original.dataDirs) await files.makeDirectory(directory);
  for (const path of original.disk.paths("/data")) {
    const { content, length } = original.disk.file(path);
    const handle = await files.open(path, "create");
    await handle.write([Buffer.from(content.subarray(0, length))], 0);
    await handle.datasync();
  }
  for (const directory of ["/", "/data", ...original.dataDirs])
    await files.syncDirectory(directory);
  return { ...original, ...sim };
}

/** What a tool is given on this disk. */
export function toolContext(disk: SimulatedDisk, boot: Boot = disk.boot(), seed = 5): ToolContext {
  const clock = {
    now: () => Date.UTC(2026, 10, 22),
    monotonic: () => 0,
    setTimer: () => ({ cancel: () => undefined }),
  };
  const { files, locks } = boot;
  return { runtime: { clock, random: createSeededRandom(seed), files, locks } };
}

/** Segment files that hold events, by name, the newest last. */
export function segmentPaths({ disk }: { disk: SimulatedDisk }): string[] {
  const nameOf = (path: string): string => path.slice(path.lastIndexOf("/"));
  return disk
    .paths("/data")
    .filter((path) => /\/0[0-9a-f]{15}\.seg$/.test(path))
    .sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
}

/** Where an event's body stands in the file of a segment. */
export function findBody(sim: { disk: SimulatedDisk }, id: number): { path: string; at: number } {
  for (const path of segmentPaths(sim)) {
    const { content } = sim.disk.file(path);
    const at = content.indexOf(Buffer.from(`${id}`.padEnd(12), "latin1"));
    if (at > 4096) return { path, at };
  }
  throw new Error(`event ${id} stands nowhere`);
}

/** Changes some bytes; false where that changes nothing. */
export function damage(
  { disk }: { disk: SimulatedDisk },
  path: string,
  at: number,
  bytes: number,
): boolean {
  const { content } = disk.file(path);
  const was = Buffer.from(content.subarray(at, at + bytes));
  const now = Buffer.from(was.map((byte) => byte ^ 0x5a));
  disk.file(path).damage(at, now);
  return !now.equals(was);
}

/** Opens the channel and takes everything. Throws what a start or a take throws. */
export async function deliverAll(sim: TestChannel): Promise<number[]> {
  const { channel } = await sim.open(sim.options);
  const ids: number[] = [];
  const { size } = channel;
  while (ids.length < size) {
    const take = await channel.beginTake(1000);
    ids.push(...idsOf(take.batch));
    await take.commit();
  }
  await put(channel, sized(900, 900, 50));
  assert.deepEqual(await drain(channel, 1), [900], "a repaired channel goes on");
  await channel.stop(never);
  return ids;
}

async function sequencesOf(sim: {
  disk: SimulatedDisk;
  dataDirs: readonly string[];
}): Promise<Map<number, number>> {
  const sequences = new Map<number, number>();
  const options = { all: false, max: 10_000, from: 0 };
  for await (const item of dumpChannel(sim.dataDirs, options, toolContext(sim.disk))) {
    assert.ok(item.kind === "event" && item.event !== undefined);
    sequences.set(Number(item.event.body.toString("latin1", 0, 12)), item.sequence);
  }
  return sequences;
}
