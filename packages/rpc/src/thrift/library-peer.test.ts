/** Both ends against the `thrift` library, which was written by others. */
import { EventBatch, systemClock } from "@millrace/core";
import { createCollectingLog } from "@millrace/testing";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import fc from "fast-check";
import { createThriftClient } from "./client.ts";
import { encodeCall } from "./encode-call.ts";
import type { ThriftProtocol } from "./protocol.ts";
import { createThriftServer } from "./server.ts";
import {
  createLibraryClient,
  libraryEvents,
  libraryFrame,
  readMessage,
  startLibraryServer,
  writeAppend,
  writeAppendBatch,
} from "./test-library.test.ts";

const never = new AbortController().signal;
const protocols: readonly ThriftProtocol[] = ["compact", "binary"];

/** Events that break naive writers: nothing, much, and names an object would stumble over. */
const awkward = EventBatch.fromEvents([
  { body: Buffer.alloc(0) },
  { headers: new Map([["", ""]]), body: Buffer.from([0]) },
  {
    headers: new Map([
      ["__proto__", "constructor"],
      ["naïve", "üñï – 漢字 – 🚰"],
      ["long", "x".repeat(20_000)],
    ]),
    body: Buffer.alloc(100_000, 7),
  },
  {
    headers: new Map(Array.from({ length: 3000 }, (_, i) => [`header ${i}`, `${i}`.repeat(20)])),
    body: Buffer.from("thousands of headers"),
  },
  { body: Buffer.from([0xff, 0xfe, 0x80]) },
]);

async function startServer(test: TestContext, protocol: ThriftProtocol) {
  const batches: EventBatch[] = [];
  let answer: () => Promise<"OK" | "FAILED"> = () => Promise.resolve("OK");
  const server = createThriftServer({
    host: "127.0.0.1",
    port: 0,
    protocol,
    clock: systemClock,
    log: createCollectingLog(),
    handler: (batch) => {
      batches.push(batch);
      return answer();
    },
  });
  await server.start(never);
  test.after(() => server.stop(AbortSignal.abort()));
  const answerWith = (next: typeof answer): void => {
    answer = next;
  };
  return { port: server.port, batches, answerWith };
}

function bytesOf(batches: readonly EventBatch[]): string {
  return Buffer.concat(batches.flatMap((batch) => batch.gather())).toString("hex");
}

for (const protocol of protocols) {
  test(`${protocol}: the library's client is served, with single events and batches`, async (t) => {
    const { port, batches } = await startServer(t, protocol);
    const client = createLibraryClient(t, port, protocol);
    const events = libraryEvents(awkward);
    for (const event of events) assert.equal(await client.append(event), "OK");
    assert.equal(await client.appendBatch(events), "OK");
    assert.equal(await client.appendBatch([]), "OK");
    assert.equal(batches.length, 7);
    assert.equal(bytesOf(batches.slice(0, 5)), bytesOf([awkward]));
    assert.equal(bytesOf(batches.slice(5)), bytesOf([awkward]));
  });

  test(`${protocol}: the library's client is told FAILED, and an internal error`, async (t) => {
    const { port, answerWith } = await startServer(t, protocol);
    const client = createLibraryClient(t, port, protocol);
    answerWith(() => Promise.resolve("FAILED"));
    assert.equal(await client.appendBatch([]), "FAILED");
    answerWith(() => Promise.reject(new TypeError("a mistake")));
    await assert.rejects(client.appendBatch([]), {
      message: "Internal error processing appendBatch",
    });
    answerWith(() => Promise.resolve("OK"));
    assert.equal(await client.appendBatch([]), "OK");
  });

  test(`${protocol}: several calls of the library's client in flight are answered in order`, async (t) => {
    const { port, batches } = await startServer(t, protocol);
    const client = createLibraryClient(t, port, protocol);
    const body = (i: number) => ({ headers: [], body: Buffer.from(String(i)) });
    const statuses = await Promise.all(
      Array.from({ length: 200 }, (_, i) => client.appendBatch([body(i), body(-i)])),
    );
    assert.deepEqual(statuses, new Array(200).fill("OK"));
    assert.deepEqual(
      batches.map((batch) => batch.at(0).body.toString()),
      Array.from({ length: 200 }, (_, i) => String(i)),
    );
  });

  test(`${protocol}: the library's server takes what our client sends`, async (t) => {
    const received: unknown[] = [];
    const port = await startLibraryServer(t, protocol, (events, name) => {
      received.push(name, ...events);
      return "OK";
    });
    const client = createThriftClient({
      host: "127.0.0.1",
      port,
      protocol,
      connectTimeoutMs: 5000,
      requestTimeoutMs: 5000,
      maxFrameBytes: 1 << 20,
      clock: systemClock,
      log: createCollectingLog(),
    });
    t.after(() => client.close());
    await client.connect();
    await client.append(awkward.slice(2, 3));
    await client.appendBatch(awkward);
    await client.appendBatch(EventBatch.empty);
    const events = libraryEvents(awkward);
    assert.deepEqual(received, ["append", events[2], "appendBatch", ...events, "appendBatch"]);
  });

  for (const { status, code } of [
    { status: "FAILED", code: "RPC_STATUS_FAILED" },
    { status: "ERROR", code: "RPC_STATUS_FAILED" },
    { status: "UNKNOWN", code: "RPC_STATUS_FAILED" },
    { status: "throws", code: "RPC_SYSTEM_ERROR" },
  ] as const) {
    test(`${protocol}: the library's server that answers ${status} is ${code}`, async (t) => {
      const port = await startLibraryServer(t, protocol, () => {
        if (status === "throws") throw new Error("a server's own");
        return status;
      });
      const client = createThriftClient({
        host: "127.0.0.1",
        port,
        protocol,
        connectTimeoutMs: 5000,
        requestTimeoutMs: 5000,
        maxFrameBytes: 1 << 20,
        clock: systemClock,
        log: createCollectingLog(),
      });
      t.after(() => client.close());
      await client.connect();
      await assert.rejects(client.appendBatch(awkward.slice(0, 1)), { code });
      assert.equal(client.alive, true);
    });
  }

  const someText = fc.oneof(
    fc.string({ unit: "binary", maxLength: 150 }),
    fc.constantFrom("", "__proto__", "constructor", "toString", "x".repeat(64), "y".repeat(8200)),
  );
  const someEvent = fc.record({
    headers: fc
      .array(fc.tuple(someText, someText), { maxLength: 20 })
      .map((pairs) => new Map(pairs)),
    body: fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.integer({ min: 0, max: 20_000 }).map((length) => new Uint8Array(length)),
    ),
  });
  const someBatch = fc
    .array(someEvent, { maxLength: 40 })
    .map((events) => EventBatch.fromEvents(events));
  // Lone surrogates are no text: whoever encodes them writes a replacement.
  const isText = (batch: EventBatch): boolean =>
    [...batch].every(({ headers }) =>
      [...headers].flat().every((text) => Buffer.from(text).toString() === text),
    );

  test(`${protocol}: every batch is written byte for byte as the library writes it, and read back`, () => {
    let events = 0;
    fc.assert(
      fc.property(
        someBatch.filter(isText),
        fc.integer({ min: 1, max: 0x7fffffff }),
        (batch, sequence) => {
          const encoded = encodeCall(protocol, sequence, "appendBatch", batch);
          const expected = libraryFrame(protocol, (output) =>
            writeAppendBatch(output, sequence, libraryEvents(batch)),
          );
          assert.equal(encoded.toString("hex"), expected.toString("hex"));
          const request = readMessage(protocol, encoded.subarray(4));
          assert.ok(request.kind === "call");
          assert.equal(bytesOf([request.batch]), bytesOf([batch]));
          events += batch.length;
          if (batch.length === 0) return;
          const one = batch.slice(0, 1);
          const single = libraryFrame(protocol, (output) =>
            writeAppend(output, sequence, libraryEvents(one)[0] as never),
          );
          assert.equal(
            encodeCall(protocol, sequence, "append", one).toString("hex"),
            single.toString("hex"),
          );
          const call = readMessage(protocol, single.subarray(4));
          assert.ok(call.kind === "call" && call.message === "append");
          assert.equal(bytesOf([call.batch]), bytesOf([one]));
        },
      ),
      { numRuns: 80, seed: 4353 },
    );
    assert.ok(events > 200, `${events} events`);
  });

  test(`${protocol}: a body of 10 MB and one of nothing arrive`, () => {
    const batch = EventBatch.fromEvents([
      { body: Buffer.alloc(10_000_000, 3) },
      { body: Buffer.alloc(0) },
    ]);
    const request = readMessage(
      protocol,
      encodeCall(protocol, 1, "appendBatch", batch).subarray(4),
    );
    assert.ok(request.kind === "call");
    assert.ok(Buffer.concat(request.batch.gather()).equals(Buffer.concat(batch.gather())));
  });
}
