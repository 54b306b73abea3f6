import { createFakeClock, createSeededRandom, tempDirectory } from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createRpcClient, type RpcClientSettings } from "./create-rpc-client.ts";
import { hostProperties, startSources, type TestSource } from "./test-sources.test.ts";

const noJitter = { ...createSeededRandom(1), integer: () => 200 };

async function world(
  test: TestContext,
  count: number,
  properties: Record<string, string> = {},
  settings: RpcClientSettings = {},
) {
  const clock = createFakeClock();
  const sources = (await startSources(test, count)) as [TestSource, TestSource, TestSource];
  const client = await createRpcClient(
    { ...hostProperties(sources), "client.type": "default_loadbalance", ...properties },
    { clock, random: noJitter, ...settings },
  );
  test.after(() => client.close(AbortSignal.abort()));
  const append = async (times: number): Promise<void> => {
    for (let i = 0; i < times; i++) await client.append({ body: String(i) });
  };
  const appendBatch = async (times: number): Promise<void> => {
    for (let i = 0; i < times; i++) await client.appendBatch([{ body: "a" }, { body: "b" }]);
  };
  const shares = (): number[] => sources.map(({ requests }) => requests.length);
  return { clock, sources, client, append, appendBatch, shares };
}

for (const { how, row } of [
  { how: "append", row: "T130" },
  { how: "appendBatch", row: "T131" },
] as const) {
  test(`two live hosts have 50 each of 100 calls of ${how} (${row})`, async (t) => {
    const made = await world(t, 2);
    await made[how](100);
    assert.deepEqual(made.shares(), [50, 50]);
  });
}

for (const { how, row } of [
  { how: "append", row: "T126" },
  { how: "appendBatch", row: "T129" },
] as const) {
  test(`when one of two hosts fails part way, the other takes the rest of ${how} (${row})`, async (t) => {
    const made = await world(t, 2);
    await made[how](80);
    made.sources[0].answer = "FAILED";
    await made[how](20);
    assert.deepEqual(made.shares(), [40, 60]);
  });
}

test("a closed client throws RPC_CLIENT_CLOSED (T127)", async (t) => {
  const { client, append } = await world(t, 2);
  await append(2);
  await client.close();
  await assert.rejects(append(1), { code: "RPC_CLIENT_CLOSED" });
});

test("with one host dead from the start all go to the live one (T128)", async (t) => {
  const { sources, append, shares } = await world(t, 2);
  await sources[0].stop();
  await append(10);
  assert.deepEqual(shares(), [0, 10]);
});

for (const { how, row } of [
  { how: "append", row: "T132" },
  { how: "appendBatch", row: "T133" },
] as const) {
  test(`with random, ten hosts have uneven shares of ${how} and nothing is missing (${row})`, async (t) => {
    const random = createSeededRandom(3);
    const made = await world(t, 10, { "host-selector": "RANDOM" }, { random });
    await made[how](300);
    const shares = made.shares();
    assert.equal(shares.reduce((a, b) => a + b), 300); // prettier-ignore
    assert.ok(new Set(shares).size > 1 && shares.every((share) => share > 5), String(shares));
  });
}

for (const { how, row } of [
  { how: "append", row: "T134" },
  { how: "appendBatch", row: "T135" },
] as const) {
  test(`with round_robin, ten hosts have equal shares of ${how} (${row})`, async (t) => {
    const made = await world(t, 10, { "host-selector": "round_robin" });
    await made[how](200);
    assert.deepEqual(
      made.shares(),
      Array.from({ length: 10 }, () => 20),
    );
  });
}

test("random with backoff: failed hosts are left out until their time; all out is RPC_HOSTS_UNAVAILABLE (T136)", async (t) => {
  const properties = { "host-selector": "random", backoff: "true" };
  const random = createSeededRandom(5);
  const { sources, append, shares, clock } = await world(t, 3, properties, { random });
  for (const source of sources.slice(1)) source.answer = "FAILED";
  await append(50);
  assert.deepEqual(sources.slice(1).map(({ asked }) => asked), [1, 1]); // prettier-ignore
  assert.equal(shares()[0], 50);
  sources[0].answer = "FAILED";
  await assert.rejects(append(1), { code: "RPC_HOSTS_UNAVAILABLE" });
  const asked = sources.map((source) => source.asked);
  await assert.rejects(append(1), (error: Error & { retryAfterMs?: number; code: string }) => {
    assert.equal(error.code, "RPC_HOSTS_UNAVAILABLE");
    const { retryAfterMs = 0 } = error;
    assert.ok(retryAfterMs >= 1600 && retryAfterMs <= 2400, String(retryAfterMs));
    return true;
  });
  assert.deepEqual(sources.map((source) => source.asked), asked, "nobody is asked in vain"); // prettier-ignore
  for (const source of sources) source.answer = "OK";
  await clock.advance(2400);
  await append(60);
  assert.ok(
    shares().every((share) => share > 5),
    String(shares()),
  );
});

test("round robin with backoff: a host that fails at first has no turn for its time (T137)", async (t) => {
  const { sources, append, shares, clock } = await world(t, 3, { backoff: "true" });
  sources[1].answer = "FAILED";
  await append(3);
  sources[1].answer = "OK";
  await append(27);
  assert.equal(sources[1].asked, 1);
  assert.deepEqual(shares(), [15, 0, 15]);
  await clock.advance(2000);
  await append(30);
  assert.deepEqual(shares(), [25, 10, 25]);
});

test("with backoff each failure in a row leaves a host out for longer, up to maxBackoff (T138)", async (t) => {
  const { sources, append, clock } = await world(t, 2, { backoff: "true", maxBackoff: "9000" });
  sources[0].answer = "FAILED";
  const pauses: number[] = [];
  for (let round = 0; round < 5; round++) {
    await append(2);
    const { asked } = sources[0];
    let ms = 0;
    for (; sources[0].asked === asked; ms += 500) {
      await clock.advance(500);
      await append(2);
    }
    pauses.push(ms);
  }
  assert.deepEqual(pauses, [2000, 4000, 8000, 9000, 9000]);
});

test("a failed host that recovers is back in rotation after its time (T139)", async (t) => {
  const { sources, append, shares, clock } = await world(t, 3, { backoff: "true" });
  sources[2].answer = "FAILED";
  await append(6);
  sources[2].answer = "OK";
  await clock.advance(2000);
  const before = shares();
  await append(30);
  assert.deepEqual(shares().map((share, i) => share - (before[i] ?? 0)), [10, 10, 10]); // prettier-ignore
});

test("without backoff a host that fails keeps its turns, and each goes to the next", async (t) => {
  const { sources, append, shares } = await world(t, 3);
  sources[1].answer = "FAILED";
  await append(30);
  assert.deepEqual([sources[1].asked, shares()], [10, [10, 0, 20]]);
});

test("a selector of one's own says the order: a function, or a module", async (t) => {
  const backwards = () => (hosts: readonly { port: number }[]) => [...hosts].reverse();
  const settings = { createHostSelector: backwards as never };
  const { append, shares, sources } = await world(t, 3, {}, settings);
  await append(4);
  assert.deepEqual(shares(), [0, 0, 4]);
  await sources[2].stop();
  await append(2);
  assert.deepEqual(shares(), [0, 2, 4]);

  const module = join(await tempDirectory(t), "selector.mjs");
  await writeFile(module, "export const createHostSelector = () => (hosts) => hosts.slice(-1);\n");
  const loaded = await world(t, 2, { "host-selector": module });
  await loaded.append(3);
  assert.deepEqual(loaded.shares(), [0, 3]);
  await loaded.sources[1].stop();
  await assert.rejects(loaded.append(1), { code: "RPC_HOSTS_UNAVAILABLE" });
});

test("a module that exports no createHostSelector, or is none, is CONFIG_INVALID", async (t) => {
  const module = join(await tempDirectory(t), "selector.mjs");
  await writeFile(module, "export const other = 1;\n");
  for (const [selector, says] of [
    [module, /exports no function createHostSelector$/],
    ["./not-there.mjs", /^host-selector \.\/not-there\.mjs: /],
  ] as const) {
    await assert.rejects(world(t, 2, { "host-selector": selector }), {
      code: "CONFIG_INVALID",
      message: says,
    });
  }
});
