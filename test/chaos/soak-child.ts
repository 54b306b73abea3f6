/**
 * One life of a file channel under concurrent puts and takes, until it is killed; with `drain` it
 * takes everything there is and closes. What happens goes to a file that outlives the kill, a line
 * each, before or after the fact so that it never claims too much:
 *
 *     i 7 12   events 7 to 12 are about to be put     o 7 12   they were told OK
 *     d 7 8    7 and 8 were delivered                 s 7 8    and settled
 *     bad ...  a body that is not what was put
 *
 *     soak-child.ts <directory> <journal> <life> <seed> work|drain
 */
import { EventBatch, MillraceError, type TakeTransaction } from "@millrace/core";
import { channelContext, createSeededRandom } from "@millrace/testing";
import { openSync, writeSync } from "node:fs";
import { createFileChannel } from "../../packages/file-channel/src/file-channel.ts";
import { bodyOf, idOf } from "./soak-events.ts";

const [directory = "", journal = "", life = "1", seed = "1", mode = "work"] = process.argv.slice(2);
const random = createSeededRandom(Number(seed) * 1000 + Number(life));
const file = openSync(journal, "a");
const never = new AbortController().signal;
const putters = 4;
const takers = 2;
const idsPerLife = 10_000_000;
const idsPerPutter = 1_000_000;

const channel = createFileChannel(
  {
    dataDirs: [`${directory}/one`, `${directory}/two`],
    capacity: 200_000,
    keepAliveMs: 50,
    minimumRequiredSpaceBytes: 0,
    memoryBytes: random.integer(2) === 0 ? 32 * 1024 : 4 * 1024 * 1024,
    segmentBytes: 256 * 1024,
    groupBytesMax: 64 * 1024,
    ackSyncMs: 20,
    // A control: with it a power cut must lose something, or it is none.
    fsyncPerTransaction: process.env["SOAK_FSYNC"] !== "false",
    lockWaitMs: 5000,
  },
  channelContext(),
);

console.log("starting");
await channel.start(never);
console.log(`open with ${channel.size}`);
if (mode === "drain") await drain();
else {
  await Promise.all([
    ...Array.from({ length: putters }, (_, putter) => put(putter)),
    ...Array.from({ length: takers }, () => take()),
  ]);
}

function say(what: string, ...rest: readonly (string | number)[]): void {
  writeSync(file, `${[what, ...rest].join(" ")}\n`);
}

async function put(putter: number): Promise<never> {
  let next = Number(life) * idsPerLife + putter * idsPerPutter;
  for (;;) {
    const from = next;
    const to = (next += 1 + random.integer(random.integer(5) === 0 ? 200 : 10)) - 1;
    const ids = Array.from({ length: to - from + 1 }, (_, i) => from + i);
    const batch = EventBatch.fromEvents(ids.map((id) => ({ body: bodyOf(id) })));
    say("i", from, to);
    try {
      await (await channel.beginPut(batch)).commit();
      say("o", from, to);
    } catch (error) {
      if (!(error instanceof MillraceError) || error.answer !== "retry") throw error;
    }
    await pause(random.integer(4));
  }
}

async function take(): Promise<never> {
  for (;;) {
    await settleSome(await channel.beginTake(1 + random.integer(300)));
    await pause(random.integer(random.integer(20) === 0 ? 200 : 4));
  }
}

/** Settles all of a batch, or some of it, or none. */
async function settleSome(transaction: TakeTransaction): Promise<void> {
  const ids = deliver(transaction);
  if (random.integer(10) === 0) return transaction.rollback();
  const to = random.integer(4) === 0 ? random.integer(ids.length + 1) : ids.length;
  await transaction.commit(to === 0 ? [] : [{ from: 0, to }]);
  if (to > 0) say("s", ...ids.slice(0, to));
}

function deliver(transaction: TakeTransaction): number[] {
  const ids = [...transaction.batch].map(({ body }) => idOf(body));
  if (ids.some((id) => Number.isNaN(id))) say("bad", transaction.batch.length);
  if (ids.length > 0) say("d", ...ids);
  return ids;
}

async function drain(): Promise<void> {
  while (channel.size > 0) {
    const transaction = await channel.beginTake(1000);
    const ids = deliver(transaction);
    await transaction.commit();
    if (ids.length > 0) say("s", ...ids);
  }
  await channel.stop(never);
  console.log("drained");
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => (ms === 0 ? setImmediate(resolve) : setTimeout(resolve, ms)));
}
