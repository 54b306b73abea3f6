/**
 * `npm run bench -- deep-drain [--events 2000000 --rounds 3]`: fills a file channel far beyond its
 * memory, opens it anew, and drains it: how fast a backlog goes out beside how fast it came in.
 */
import { systemRuntime } from "@millrace/core";
import { createFileChannel } from "@millrace/file-channel";
import { channelContext } from "@millrace/testing";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { sampleBatch } from "./frame.ts";
import { median } from "./table.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    events: { type: "string", default: "2000000" },
  },
});
const total = Number(values.events);
const batch = 1000;
const never = new AbortController().signal;
const rounds: { put: number; drain: number }[] = [];
for (let round = 0; round < Number(values.rounds); round++) rounds.push(await measure());
const put = Math.round(median(rounds.map((one) => one.put)));
const drain = Math.round(median(rounds.map((one) => one.drain)));
const ratio = median(rounds.map((one) => one.drain / one.put)).toFixed(2);
console.log("| events | put, events/s | drained after a restart, events/s | ratio |");
console.log("|---|---|---|---|");
console.log(`| ${total} | ${put} | ${drain} | ${ratio} |`);

async function measure(): Promise<{ put: number; drain: number }> {
  const directory = await mkdtemp(join(tmpdir(), "millrace-bench-"));
  const make = () =>
    createFileChannel(
      { dataDirs: [directory], minimumRequiredSpaceBytes: 1 << 20, capacity: 2 * total },
      channelContext({ runtime: systemRuntime }),
    );
  try {
    const filled = make();
    await filled.start(never);
    const events = sampleBatch(batch);
    let began = performance.now();
    for (let n = 0; n < total; n += batch) await (await filled.beginPut(events)).commit();
    const putSeconds = (performance.now() - began) / 1000;
    await filled.stop(never);

    const deep = make();
    await deep.start(never);
    began = performance.now();
    for (let left = deep.size; left > 0;) {
      const take = await deep.beginTake(batch);
      left -= take.batch.length;
      await take.commit();
    }
    const drainSeconds = (performance.now() - began) / 1000;
    await deep.stop(never);
    return { put: total / putSeconds, drain: total / drainSeconds };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
