import { type Operation, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { bytesOf, segmentsOf } from "../disk-image.test.ts";
import { drain, never, put, simDisk, sized } from "../sim-channel.test.ts";

const options = { segmentBytes: 64 * 1024, memoryBytes: 1 };
const quarantine = { ...options, onCorruption: "quarantine" } as const;
const isCopy = (path: string): boolean => path.includes("/quarantine-");

/** A backlog of 20 events in one segment, of which one is damaged. */
async function damaged() {
  const sim = simDisk();
  const { channel } = await sim.open(options);
  for (let id = 1; id <= 20; id++) await put(channel, sized(id, id, 1000));
  await channel.stop(never);
  await (await sim.open(options)).channel.stop(never);
  const [oldest = ""] = segmentsOf(sim);
  const at = bytesOf(sim.disk, oldest).indexOf("7           xxx");
  assert.ok(at > 4096);
  sim.disk.file(oldest).damage(at + 100, Buffer.from("rot"));
  return { sim, at };
}

test("what quarantine gave up is where the log says, also after a power cut", async () => {
  const { sim, at } = await damaged();
  const { channel, context } = await sim.open(quarantine);
  assert.equal((await drain(channel, 19)).length, 19);
  sim.disk.powerCut("lose");
  const [path = ""] = sim.disk.paths("/data").filter(isCopy);
  const [from = 0, to = 0] =
    path
      .match(/\d+(?=-|\.bin)/g)
      ?.slice(-2)
      .map(Number) ?? [];
  assert.ok(from <= at && at < to, path);
  assert.equal(bytesOf(sim.disk, path).length, to - from);
  assert.ok(bytesOf(sim.disk, path).includes("rot"));
  const said = context.log.lines.filter(({ message }) => message.includes(`set aside in ${path}`));
  assert.equal(said.length, 1);
});

test("a disk that takes no copy is said, and the other events are delivered", async () => {
  const { sim } = await damaged();
  const fault = ({ kind, path }: Operation) =>
    kind === "write" && isCopy(path) ? ("ENOSPC" as const) : undefined;
  const { channel, context } = await sim.open(quarantine, { fault });
  assert.equal((await drain(channel, 19)).length, 19);
  const text = context.log.lines.map(({ message }) => message).join("\n");
  assert.match(text, /1 events are lost and could not even be set aside \(.*ENOSPC/);
  await channel.stop(never);
});

test("a copy that a killed start left unfinished is made whole by the next", async () => {
  const { sim } = await damaged();
  let left = "";
  const fault = ({ kind, path }: Operation) => {
    if (kind !== "write" || !isCopy(path)) return undefined;
    left = path;
    return "ENOSPC" as const;
  };
  const first = await sim.open(quarantine, { fault });
  await first.channel.beginTake(1);
  await waitFor("the copy to be tried", () => left !== "");
  sim.disk.kill();
  assert.ok(bytesOf(sim.disk, left).length < 100, "not whole");
  const { channel } = await sim.open(quarantine);
  assert.equal((await drain(channel, 19)).length, 19);
  assert.ok(bytesOf(sim.disk, left).includes("rot"));
  await channel.stop(never);
});
