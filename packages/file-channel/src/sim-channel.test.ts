import { type Channel, EventBatch } from "@millrace/core";
import {
  type Boot,
  type BootOptions,
  channelContext,
  createFakeClock,
  createSeededRandom,
  type FakeClock,
  numbersOf,
  SimulatedDisk,
} from "@millrace/testing";
import { smallOptions } from "./crash-world.test.ts";
import { createFileChannel, type FileChannel } from "./file-channel.ts";
import type { FileChannelOptions } from "./options.ts";

export const never = new AbortController().signal;

export interface SimChannel {
  readonly channel: FileChannel;
  readonly clock: FakeClock;
  readonly boot: Boot;
  readonly context: ReturnType<typeof channelContext>;
}

/** Makes channels on one simulated disk, one after another; not started. */
export function simDisk(
  disk: { seed?: number; sectorBytes?: number; capacityBytes?: number } = {},
): {
  disk: SimulatedDisk;
  make(options?: Partial<FileChannelOptions>, boot?: BootOptions): SimChannel;
  open(options?: Partial<FileChannelOptions>, boot?: BootOptions): Promise<SimChannel>;
} {
  const random = createSeededRandom(disk.seed ?? 1);
  const simulated = new SimulatedDisk({ ...disk, random });
  const make = (options: Partial<FileChannelOptions> = {}, bootOptions: BootOptions = {}) => {
    const boot = simulated.boot(bootOptions);
    const clock = createFakeClock();
    const context = channelContext({
      runtime: { clock, random, files: boot.files, locks: boot.locks },
    });
    const channel = createFileChannel({ ...smallOptions, ...options }, context);
    return { channel, clock, boot, context };
  };
  return {
    disk: simulated,
    make,
    async open(options, bootOptions) {
      const made = make(options, bootOptions);
      await made.channel.start(never);
      return made;
    },
  };
}

/** Events whose bodies begin with their number and are `bytes` long. */
export function sized(from: number, to: number, bytes: number): EventBatch {
  const events = Array.from({ length: to - from + 1 }, (_, i) => {
    const body = Buffer.alloc(Math.max(12, bytes), 0x78);
    body.write(`${from + i}`.padEnd(12), 0, "latin1");
    return { body };
  });
  return EventBatch.fromEvents(events);
}

export function idsOf(batch: EventBatch): number[] {
  return [...batch].map(({ body }) => Number(body.toString("latin1", 0, 12)));
}

export async function put(channel: Channel, batch: EventBatch): Promise<void> {
  await (await channel.beginPut(batch)).commit();
}

/** Takes and settles until `count` events came. */
export async function drain(channel: Channel, count: number): Promise<number[]> {
  const ids: number[] = [];
  while (ids.length < count) {
    const take = await channel.beginTake(1000);
    ids.push(...idsOf(take.batch));
    await take.commit();
  }
  return ids;
}

export function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

export { numbersOf };
