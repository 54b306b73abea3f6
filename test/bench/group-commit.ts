/**
 * `npm run bench -- group-commit [--rounds 5 --seconds 2]`: 1, 8 and 64 puts at once of 1, 100 and
 * 1000 events into a file channel, each taken and settled, beside two bare loops of write and sync:
 * one that writes as many bytes as one transaction has, and one that writes as many as a whole group.
 * In every round the three take turns; the ratios are made within the round.
 */
import { systemRuntime } from "@millrace/core";
import { createFileChannel } from "@millrace/file-channel";
import { channelContext } from "@millrace/testing";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { measureBareSync } from "./bare-sync.ts";
import { sampleBatch } from "./frame.ts";
import { median } from "./table.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "2" },
  },
});
const measureMs = Number(values.seconds) * 1000;
/** As many events as the channel's largest group holds; a bare loop beyond it would be another. */
const groupEventsMax = Math.floor((16 * 1024 * 1024) / sampleBatch(1).byteLength);

console.log(
  "| transactions at once | events each | events/s | bare loop, one transaction | ratio | bare loop, one group | ratio |",
);
console.log("|---|---|---|---|---|---|---|");
for (const transactions of [1, 8, 64]) {
  for (const batch of [1, 100, 1000]) {
    const rounds: { own: number; single: number; group: number }[] = [];
    for (let round = 0; round < Number(values.rounds); round++) {
      const groupEvents = Math.min(transactions * batch, groupEventsMax);
      const single = await measureBareSync(batch, measureMs);
      const group = transactions === 1 ? single : await measureBareSync(groupEvents, measureMs);
      rounds.push({ own: await measureGroups(transactions, batch), single, group });
    }
    const cells = [
      transactions,
      batch,
      whole(median(rounds.map(({ own }) => own))),
      whole(median(rounds.map(({ single }) => single))),
      median(rounds.map(({ own, single }) => own / single)).toFixed(2),
      whole(median(rounds.map(({ group }) => group))),
      median(rounds.map(({ own, group }) => own / group)).toFixed(2),
    ];
    console.log(`| ${cells.join(" | ")} |`);
  }
}

/** Events a second that were put, synced, taken and settled. */
async function measureGroups(transactions: number, batch: number): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  const options = {
    dataDirs: [directory],
    minimumRequiredSpaceBytes: 1 << 20,
    capacity: 10_000_000,
  };
  const channel = createFileChannel(options, channelContext({ runtime: systemRuntime }));
  const never = new AbortController().signal;
  const events = sampleBatch(batch);
  let stored = 0;
  let putting = true;
  const put = async (until: number): Promise<void> => {
    while (performance.now() < until) {
      await (await channel.beginPut(events)).commit();
      stored += batch;
    }
  };
  const take = async (): Promise<void> => {
    while (putting || channel.size > 0) await (await channel.beginTake(10_000)).commit();
  };
  try {
    await channel.start(never);
    const began = performance.now();
    const taking = take();
    const until = began + measureMs;
    await Promise.all(Array.from({ length: transactions }, () => put(until)));
    const seconds = (performance.now() - began) / 1000;
    putting = false;
    // A take that waits for an event that does not come ends with one more.
    await (await channel.beginPut(sampleBatch(1))).commit();
    await taking;
    return stored / seconds;
  } finally {
    await channel.stop(never);
    await rm(directory, { recursive: true, force: true });
  }
}

function whole(value: number): string {
  return Math.round(value).toLocaleString("en");
}
