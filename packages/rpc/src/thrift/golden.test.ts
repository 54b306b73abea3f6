/** Frames as Java sent them: Flume's generated classes on libthrift 0.16, without the frame's length. */
import { EventBatch } from "@millrace/core";
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeReply, encodeException, encodeStatus } from "./call.ts";
import { encodeCall } from "./encode-call.ts";
import { exceptionTypes, type ThriftMessageName, type ThriftProtocol } from "./protocol.ts";
import { readMessage } from "./test-library.test.ts";

const one = EventBatch.fromEvents([{ headers: new Map([["k", "v"]]), body: Buffer.from("hello") }]);
const bare = EventBatch.fromEvents([{ body: Buffer.from("hello") }]);
const two = EventBatch.fromEvents([
  { body: Buffer.from("a") },
  { headers: new Map([["k", "v"]]), body: Buffer.from("b") },
]);

const calls: readonly {
  what: string;
  protocol: ThriftProtocol;
  name: ThriftMessageName;
  batch: EventBatch;
  hex: string;
}[] = [
  {
    what: "append of one header",
    protocol: "compact",
    name: "append",
    batch: one,
    hex: "8221 01 06 617070656e64 1c 1b01 88 016b 0176 18 05 68656c6c6f 00 00",
  },
  {
    what: "append without headers",
    protocol: "compact",
    name: "append",
    batch: bare,
    hex: "8221 01 06 617070656e64 1c 1b00 18 05 68656c6c6f 00 00",
  },
  {
    what: "appendBatch of two",
    protocol: "compact",
    name: "appendBatch",
    batch: two,
    hex: "8221 01 0b 617070656e644261746368 19 2c 1b00 1801 61 00 1b01 88 016b 0176 1801 62 00 00",
  },
  {
    what: "append of one header",
    protocol: "binary",
    name: "append",
    batch: one,
    hex: "80010001 00000006 617070656e64 00000001 0c0001 0d0001 0b0b 00000001 00000001 6b 00000001 76 0b0002 00000005 68656c6c6f 00 00",
  },
  {
    what: "append without headers",
    protocol: "binary",
    name: "append",
    batch: bare,
    hex: "80010001 00000006 617070656e64 00000001 0c0001 0d0001 0b0b 00000000 0b0002 00000005 68656c6c6f 00 00",
  },
  {
    what: "appendBatch of two",
    protocol: "binary",
    name: "appendBatch",
    batch: two,
    hex: "80010001 0000000b 617070656e644261746368 00000001 0f0001 0c 00000002 0d0001 0b0b 00000000 0b0002 00000001 61 00 0d0001 0b0b 00000001 00000001 6b 00000001 76 0b0002 00000001 62 00 00",
  },
];

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(" ", ""), "hex");
}

for (const { what, protocol, name, batch, hex } of calls) {
  test(`${protocol}: ${what} is read and written as Java writes it`, () => {
    const message = bytesOf(hex);
    const request = readMessage(protocol, message);
    assert.ok(request.kind === "call");
    assert.deepEqual(request.head, { name, type: 1, sequence: 1 });
    assert.deepEqual(Buffer.concat(request.batch.gather()), Buffer.concat(batch.gather()));
    const encoded = encodeCall(protocol, 1, name, batch);
    assert.equal(encoded.readInt32BE(0), message.length);
    assert.equal(encoded.toString("hex", 4), message.toString("hex"));
  });
}

const append = { name: "append", type: 1, sequence: 1 };
const appendBatch = { name: "appendBatch", type: 1, sequence: 1 };
const threw = "Internal error processing appendBatch";

for (const { what, protocol, frame, hex, reply } of [
  {
    what: "OK",
    protocol: "compact",
    frame: encodeStatus("compact", append, "OK"),
    hex: "8241 01 06 617070656e64 05 00 00 00",
    reply: { kind: "status", head: { ...append, type: 2 }, status: "OK" },
  },
  {
    what: "FAILED",
    protocol: "compact",
    frame: encodeStatus("compact", append, "FAILED"),
    hex: "8241 01 06 617070656e64 05 00 02 00",
    reply: { kind: "status", head: { ...append, type: 2 }, status: "FAILED" },
  },
  {
    what: "OK",
    protocol: "binary",
    frame: encodeStatus("binary", append, "OK"),
    hex: "80010002 00000006 617070656e64 00000001 08 0000 00000000 00",
    reply: { kind: "status", head: { ...append, type: 2 }, status: "OK" },
  },
  {
    what: "FAILED",
    protocol: "binary",
    frame: encodeStatus("binary", append, "FAILED"),
    hex: "80010002 00000006 617070656e64 00000001 08 0000 00000001 00",
    reply: { kind: "status", head: { ...append, type: 2 }, status: "FAILED" },
  },
  {
    what: "a handler that threw",
    protocol: "compact",
    frame: encodeException("compact", appendBatch, exceptionTypes.internalError, threw),
    hex: `8261 01 0b 617070656e644261746368 18 25 ${Buffer.from(threw).toString("hex")} 15 0c 00`,
    reply: { kind: "exception", head: { ...appendBatch, type: 3 }, type: 6, text: threw },
  },
  {
    what: "a handler that threw",
    protocol: "binary",
    frame: encodeException("binary", appendBatch, exceptionTypes.internalError, threw),
    hex: `80010003 0000000b 617070656e644261746368 00000001 0b0001 00000025 ${Buffer.from(threw).toString("hex")} 080002 00000006 00`,
    reply: { kind: "exception", head: { ...appendBatch, type: 3 }, type: 6, text: threw },
  },
] as const) {
  test(`${protocol}: the reply to ${what} is written and read as Java writes it`, () => {
    assert.equal(frame.toString("hex", 4), bytesOf(hex).toString("hex"));
    assert.deepEqual(decodeReply(protocol, bytesOf(hex)), reply);
  });
}

for (const { hex, status } of [
  { hex: "8241 01 06 617070656e64 05 00 04 00", status: "ERROR" },
  { hex: "8241 01 06 617070656e64 05 00 06 00", status: "UNKNOWN" },
]) {
  test(`compact: a reply of ${status} is told from the others`, () => {
    const reply = decodeReply("compact", bytesOf(hex));
    assert.ok(reply.kind === "status");
    assert.equal(reply.status, status);
  });
}
