/** Both ends of a hop as an agent makes them: the sink here, the source beside it. */
import { type ChannelProcessor, EventBatch, MillraceError, type Sink } from "@millrace/core";
import {
  createTcpProxy,
  numberedBatch,
  numbersOf,
  optionsOf,
  sinkContext,
  sourceContext,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { createGrpcSource } from "../../sources/grpc/grpc-source.ts";
import { options as sourceOptions } from "../../sources/grpc/options.ts";
import { createGrpcSink } from "./grpc-sink.ts";
import { options as sinkOptions } from "./options.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();

async function listening(t: TestContext, channelProcessor?: ChannelProcessor, port = 0) {
  const context = sourceContext(channelProcessor === undefined ? {} : { channelProcessor });
  const properties = { bind: "127.0.0.1", port: String(port) };
  const source = createGrpcSource(optionsOf(sourceOptions, properties), context);
  await source.start(never);
  t.after(() => source.stop(now));
  return { source, context };
}

async function sinkTo(t: TestContext, port: number, properties: Record<string, string> = {}) {
  const given = { hostname: "127.0.0.1", port: String(port), "batch-size": "1000", ...properties };
  const context = sinkContext();
  const sink = createGrpcSink(optionsOf(sinkOptions, given), context);
  await sink.start(never);
  t.after(() => sink.stop(now));
  return { sink, context };
}

test("what the sink delivers the source's channels have, byte for byte", async (t) => {
  const { source, context: received } = await listening(t);
  const { sink } = await sinkTo(t, source.port);
  const sent: EventBatch[] = [];
  for (let round = 0; round < 50; round++) {
    const batch = EventBatch.fromEvents(
      Array.from({ length: round * 20 }, (_, i) => ({
        headers: new Map([
          ["host", `h${i}`],
          ["__proto__", "x"],
          ["naïve", "ü"],
        ]),
        body: Buffer.alloc((i * 37) % 900, i),
      })),
    );
    await sink.deliver(batch, never);
    sent.push(batch);
  }
  const bytes = (batches: readonly EventBatch[]) =>
    Buffer.concat(batches.flatMap((batch) => batch.gather()));
  assert.equal(EventBatch.join(received.batches).length, 24_500);
  assert.ok(bytes(received.batches).equals(bytes(sent)));
});

test("a source that is not there yet is no reason not to start; deliveries find it when it is", async (t) => {
  const first = await listening(t);
  const { port } = first.source;
  await first.source.stop(now);
  const { sink } = await sinkTo(t, port);
  await assert.rejects(sink.deliver(numberedBatch(1, 2), never), { code: "RPC_CONNECT_FAILED" });
  const { context } = await listening(t, undefined, port);
  await sink.deliver(numberedBatch(1, 2), never);
  assert.deepEqual(context.batches.flatMap(numbersOf), [1, 2]);
});

test("through cuts, lost answers, refusals and a full channel everything acknowledged arrives, and a fresh event gets through [lost: grpc-hop | link cut | nothing; some twice] [lost: grpc-hop | reply lost | nothing; some twice]", async (t) => {
  const stored: number[] = [];
  let batches = 0;
  const { source } = await listening(t, {
    processEventBatch(batch) {
      if (++batches % 50 === 0) return Promise.reject(new MillraceError("CHANNEL_FULL", "c1"));
      stored.push(...numbersOf(batch));
      return Promise.resolve();
    },
  });
  const proxy = await createTcpProxy({ host: "127.0.0.1", port: source.port });
  t.after(() => proxy.close());
  const { sink } = await sinkTo(t, proxy.port, {
    batchesInFlight: "4",
    "request-timeout": "1000",
    "connect-timeout": "2000",
  });
  const acknowledged = new Set<number>();
  const failures = new Map<string, number>();
  let next = 1;
  let done = false;

  async function deliverUntilTaken(batch: EventBatch): Promise<void> {
    for (;;) {
      try {
        await within("a delivery", sink.deliver(batch, never));
        for (const number of numbersOf(batch)) acknowledged.add(number);
        return;
      } catch (error) {
        assert.ok(error instanceof MillraceError, String(error));
        failures.set(error.code, (failures.get(error.code) ?? 0) + 1);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
  }
  async function worker(): Promise<void> {
    while (!done) {
      const from = next;
      next += 3;
      await deliverUntilTaken(numberedBatch(from, from + 2));
    }
  }
  const workers = Array.from({ length: 4 }, worker);
  const progress = async (): Promise<void> => {
    const target = acknowledged.size + 30;
    await waitFor("deliveries to go on", () => acknowledged.size >= target);
  };
  for (let round = 0; round < 3; round++) {
    await progress();
    proxy.cut();
    await progress();
    await proxy.setMode("swallow-replies");
    const timeouts = failures.get("RPC_TIMEOUT") ?? 0;
    await waitFor("a timeout", () => (failures.get("RPC_TIMEOUT") ?? 0) > timeouts);
    await proxy.setMode("pass");
    await progress();
    proxy.halfClose("client");
    await progress();
    await proxy.setMode("refuse");
    proxy.cut();
    await waitFor("a refused connection", () => failures.has("RPC_CONNECT_FAILED"));
    await proxy.setMode("pass");
  }
  await progress();
  done = true;
  await within("the workers", Promise.all(workers));
  await deliverUntilTaken(numberedBatch(1_000_000, 1_000_000));

  const arrived = new Set(stored);
  for (const number of acknowledged) assert.ok(arrived.has(number), `${number} was acknowledged`);
  for (const number of arrived) {
    assert.ok(number < next || number === 1_000_000, `${number} was never issued`);
  }
  assert.ok(acknowledged.size > 300, `${acknowledged.size} events`);
  assert.ok(proxy.counters.connectionsCut >= 6, "cuts");
  assert.ok(stored.length > arrived.size, "duplicates: some answers were lost");
  for (const code of ["RPC_CONNECTION_LOST", "RPC_TIMEOUT", "RPC_CONNECT_FAILED"]) {
    assert.ok(failures.has(code), `${code} among ${[...failures.keys()].join()}`);
  }
  assert.ok(failures.has("RPC_STATUS_FAILED"), [...failures.keys()].join());
});

test("several batches in flight are stored in their order", async (t) => {
  const stored: number[] = [];
  const { source } = await listening(t, {
    async processEventBatch(batch) {
      await new Promise((resolve) => setImmediate(resolve));
      stored.push(...numbersOf(batch));
    },
  });
  const { sink } = await sinkTo(t, source.port, { batchesInFlight: "8" });
  assert.equal(sink.deliveriesInFlight, 8);
  await sink.deliver(numberedBatch(0, 0), never);
  await deliverAll(sink, 1, 200, 8);
  assert.deepEqual(
    stored,
    Array.from({ length: 201 }, (_, i) => i),
  );
});

/** One event a batch, `inFlight` at any time, begun in order. */
async function deliverAll(sink: Sink, from: number, to: number, inFlight: number): Promise<void> {
  let next = from;
  const work = async (): Promise<void> => {
    while (next <= to) {
      const number = next++;
      await sink.deliver(numberedBatch(number, number), never);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, work));
}
