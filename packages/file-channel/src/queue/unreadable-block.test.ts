import type { Operation } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { MillraceError } from "@millrace/core";
import { outcome, segmentsOf } from "../disk-image.test.ts";
import type { FileChannelOptions } from "../options.ts";
import { idsOf, never, put, range, type SimChannel, simDisk, sized } from "../sim-channel.test.ts";

const groups = 12;
const perGroup = 4;
const sum = groups * perGroup;
const large = { segmentBytes: 256 * 1024, groupBytesMax: 64 * 1024, memoryBytes: 1 };

/** A backlog in one segment, and then a block in the middle of it that the disk cannot read. */
async function openWithBadBlock(
  options: Partial<FileChannelOptions>,
  error: "EIO" | "ENOSPC" = "EIO",
): Promise<SimChannel & { readonly sim: ReturnType<typeof simDisk> }> {
  const sim = simDisk();
  const { channel } = await sim.open(large);
  for (let group = 0; group < groups; group++) {
    const first = group * perGroup + 1;
    await put(channel, sized(first, first + perGroup - 1, 2000));
  }
  await channel.stop(never);
  await (await sim.open(large)).channel.stop(never);
  const [oldest] = segmentsOf(sim);
  const badAt = 12 * 4096;
  const fault = ({ kind, path, position = 0, bytes = 0 }: Operation) => {
    const touches = position <= badAt && position + bytes > badAt;
    return kind === "read" && path === oldest && touches ? error : undefined;
  };
  return { sim, ...(await sim.open({ ...large, ...options }, { fault })) };
}

test("quarantine gives up the record in a block the disk cannot read, and nothing behind it", async () => {
  const { channel, context, clock } = await openWithBadBlock({ onCorruption: "quarantine" });
  const got: number[] = [];
  while (channel.size > 0) {
    const taking = channel.beginTake(5);
    await clock.advance(20);
    const take = await taking;
    got.push(...idsOf(take.batch));
    await take.commit();
  }
  const lost = range(1, sum).filter((id) => !got.includes(id));
  assert.equal(lost.length, perGroup, `lost ${lost.join(" ")}`);
  assert.ok((lost[0] as number) > 1, "what stands before the block was delivered");
  const reason = { reason: "corrupt_record", intended: "false" };
  const counted = context.metrics.value("millrace_events_discarded_total", reason);
  assert.equal(counted, perGroup);
  await channel.stop(never);
});

test("a block the disk cannot read ends takes at the record it is in, which the error names", async () => {
  const { channel } = await openWithBadBlock({});
  const got: number[] = [];
  await assert.rejects(
    async () => {
      while (channel.size > 0) {
        const take = await channel.beginTake(5);
        got.push(...idsOf(take.batch));
        await take.commit();
      }
    },
    (error) => {
      assert.ok(error instanceof MillraceError);
      assert.equal(error.code, "CHANNEL_CORRUPT");
      assert.ok(got.length >= perGroup, `${got.length} events before the block were delivered`);
      const next = got.length + 1;
      assert.match(error.message, new RegExp(`sequences ${next} to ${got.length + perGroup} `));
      assert.match(error.message, /EIO/);
      return true;
    },
  );
  assert.deepEqual(got, range(1, got.length));
  await channel.stop(never);
});

test("quarantine gives up nothing for an error that does not say that the bytes are gone", async () => {
  const { sim, channel } = await openWithBadBlock({ onCorruption: "quarantine" }, "ENOSPC");
  await assert.rejects(channel.beginTake(5), (error) => {
    assert.ok(error instanceof MillraceError);
    assert.equal(error.code, "CHANNEL_CORRUPT");
    assert.match(error.message, /\.seg cannot be read at offset \d+: .*ENOSPC.*next start/);
    return true;
  });
  await channel.stop(never);
  const { ids, error } = await outcome(sim);
  assert.equal(error, undefined);
  assert.deepEqual(ids, range(1, sum));
});
