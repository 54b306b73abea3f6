import { systemRuntime } from "@millrace/core";
import { channelContext } from "@millrace/testing";
import { createFileChannel, fileChannelDefaults } from "@millrace/file-channel";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sampleBatch } from "./frame.ts";

/** Puts of one batch after another into a file channel, each taken and settled: events a second. */
export async function measureChannelPut(batch: number, measureMs: number): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  const channel = createFileChannel(
    { ...fileChannelDefaults, dataDirs: [directory], minimumRequiredSpaceBytes: 1 << 20 },
    channelContext({ runtime: systemRuntime }),
  );
  const never = new AbortController().signal;
  const events = sampleBatch(batch);
  try {
    await channel.start(never);
    const began = performance.now();
    let stored = 0;
    while (performance.now() - began < measureMs) {
      await (await channel.beginPut(events)).commit();
      await (await channel.beginTake(batch)).commit();
      stored += batch;
    }
    return stored / ((performance.now() - began) / 1000);
  } finally {
    await channel.stop(never);
    await rm(directory, { recursive: true, force: true });
  }
}
