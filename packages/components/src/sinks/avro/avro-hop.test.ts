/** Both ends of a hop as an agent makes them: the sink here, the source beside it. */
import { EventBatch } from "@millrace/core";
import { optionsOf, sinkContext, sourceContext } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createAvroSource } from "../../sources/avro/avro-source.ts";
import { options as sourceOptions } from "../../sources/avro/options.ts";
import { createAvroSink } from "./avro-sink.ts";
import { options as sinkOptions } from "./options.ts";

const never = new AbortController().signal;

test("what the sink delivers the source's channels have, byte for byte (T097)", async (t) => {
  const received = sourceContext();
  const source = createAvroSource(
    optionsOf(sourceOptions, { bind: "127.0.0.1", port: "0" }),
    received,
  );
  await source.start(never);
  t.after(() => source.stop(AbortSignal.abort()));
  const sink = createAvroSink(
    optionsOf(sinkOptions, {
      hostname: "127.0.0.1",
      port: String(source.port),
      "batch-size": "1000",
    }),
    sinkContext(),
  );
  await sink.start(never);
  t.after(() => sink.stop(AbortSignal.abort()));
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
