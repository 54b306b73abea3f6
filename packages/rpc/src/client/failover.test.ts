import { createCollectingLog, createFakeClock, createSeededRandom } from "@millrace/testing";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { createRpcClient } from "./create-rpc-client.ts";
import { hostProperties, startSources, type TestSource } from "./test-sources.test.ts";

/** No jitter: 200 of 0..400 is in the middle. */
const random = { ...createSeededRandom(1), integer: () => 200 };

async function world(test: TestContext, properties: Record<string, string> = {}, count = 3) {
  const clock = createFakeClock();
  const log = createCollectingLog();
  const sources = (await startSources(test, count)) as [TestSource, TestSource, TestSource];
  const client = await createRpcClient(
    { ...hostProperties(sources), "client.type": "default_failover", ...properties },
    { clock, random, log },
  );
  test.after(() => client.close(AbortSignal.abort()));
  const sent: string[] = [];
  const send = async (body: string): Promise<void> => {
    await client.append({ body });
    sent.push(body);
  };
  const shares = (): string[] => sources.map(({ bodies }) => bodies.join(""));
  return { clock, log, sources, client, send, shares };
}

test("one host has all until it dies; then the next in order, and from the end on the first (T124)", async (t) => {
  const { sources, send, shares, client } = await world(t);
  const [s1, s2, s3] = sources;
  await send("a");
  await s1.stop();
  await send("b");
  await s1.restart();
  await send("c");
  await s2.stop();
  await send("d");
  await s2.restart();
  await s3.stop();
  await send("e");
  assert.deepEqual(shares(), ["ae", "bc", "d"]);
  await s1.stop();
  await s2.stop();
  await assert.rejects(send("f"), (error: Error & { code: string }) => {
    assert.equal(error.code, "RPC_HOSTS_UNAVAILABLE");
    for (const { address } of sources) assert.ok(error.message.includes(`${address} RPC_CONNECT`));
    return true;
  });
  assert.equal(client.isActive, true);
  await s2.restart();
  await send("g");
  assert.equal(shares()[1], "bcg");
});

test("an earlier host that is back gets one batch after its penalty, and then all", async (t) => {
  const { sources, send, shares, clock, log } = await world(t);
  const [s1] = sources;
  s1.answer = "FAILED";
  await send("a");
  s1.answer = "OK";
  await clock.advance(1999);
  await send("b");
  assert.deepEqual(shares(), ["", "ab", ""]);
  await clock.advance(1);
  await send("c");
  await send("d");
  assert.deepEqual(shares(), ["cd", "ab", ""]);
  const said = log.lines.map(({ message }) => message).filter((m) => !m.includes("connected"));
  assert.deepEqual(said, [
    `${s1.address} failed: RPC_STATUS_FAILED; left out for 2 s`,
    `${s1.address} answered a trial batch, in use again`,
  ]);
});

test("a trial batch that fails goes to the host in use, and the penalty doubles", async (t) => {
  const { sources, send, shares, clock } = await world(t);
  const [s1] = sources;
  s1.answer = "FAILED";
  for (const [index, penaltyMs] of [2000, 4000, 8000, 16_000, 30_000, 30_000].entries()) {
    await send("x");
    assert.equal(s1.asked, index + 1);
    await clock.advance(penaltyMs - 1);
    await send("y");
    assert.equal(s1.asked, index + 1, "not before its time");
    await clock.advance(1);
  }
  assert.deepEqual(shares(), ["", "xyxyxyxyxyxy", ""]);
});

test("without failBack a client stays where it is, as in Flume (T124)", async (t) => {
  const { sources, send, shares, clock } = await world(t, { failBack: "false" });
  const [s1, s2] = sources;
  await s1.stop();
  await send("a");
  await s1.restart();
  await clock.advance(60_000);
  await send("b");
  await s2.stop();
  await send("c");
  assert.deepEqual(shares(), ["", "ab", "c"]);
});

test("max-attempts counts hosts that were reached, not those that were not", async (t) => {
  const { sources, send } = await world(t, { "max-attempts": "1" });
  const [s1, s2, s3] = sources;
  await s1.stop();
  s2.answer = "FAILED";
  await assert.rejects(send("a"), { code: "RPC_HOSTS_UNAVAILABLE" });
  assert.deepEqual([s2.asked, s3.asked], [1, 0]);
});

test("with more attempts than hosts they are asked again; when none can be reached it ends at once", async (t) => {
  const { sources, send } = await world(t, { "max-attempts": "5" }, 2);
  for (const source of sources) source.answer = "FAILED";
  await assert.rejects(send("a"), { code: "RPC_HOSTS_UNAVAILABLE" });
  assert.equal(sources[0].asked + sources[1].asked, 5);
  for (const source of sources) await source.stop();
  await assert.rejects(send("b"), { code: "RPC_HOSTS_UNAVAILABLE" });
});

test("what one host has acknowledged of a list the next does not get again", async (t) => {
  const { sources, client } = await world(t, { "batch-size": "2" });
  const [s1, s2] = sources;
  const events = Array.from({ length: 6 }, (_, i) => ({ body: String(i) }));
  const taken = s1.requests;
  Object.defineProperty(s1, "answer", { get: () => (taken.length < 1 ? "OK" : "FAILED") });
  await client.appendBatch(events);
  assert.deepEqual([s1.bodies.join(""), s2.bodies.join("")], ["01", "2345"]);
});

test("when no host takes the rest of a list, the error says what was settled", async (t) => {
  const { sources, client } = await world(t, { "batch-size": "2" });
  const [s1, s2, s3] = sources;
  s2.answer = s3.answer = "FAILED";
  const taken = s1.requests;
  Object.defineProperty(s1, "answer", { get: () => (taken.length < 2 ? "OK" : "FAILED") });
  const events = Array.from({ length: 7 }, (_, i) => ({ body: String(i) }));
  await assert.rejects(client.appendBatch(events), {
    name: "DeliveryError",
    code: "RPC_HOSTS_UNAVAILABLE",
    settled: [{ from: 0, to: 4 }],
  });
});

test("a host that hangs is left for the next when the request timeout is over", async (t) => {
  const { sources, send, shares, clock } = await world(t, {
    "request-timeout": "3000",
    "connect-timeout": "1000",
  });
  const [s1] = sources;
  await send("a");
  s1.answer = "nothing";
  const sending = send("b");
  while (s1.asked < 2) await clock.advance(0);
  await clock.advance(3000);
  await sending;
  assert.deepEqual(shares(), ["a", "b", ""]);
});
