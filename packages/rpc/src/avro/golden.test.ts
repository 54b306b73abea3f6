/**
 * Frames captured between real Java peers (Avro 1.11's RPC over Netty with Flume's protocol), read
 * and written. Spaces stand between words and fields.
 */
import { EventBatch } from "@millrace/core";
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeReply, encodeCall, encodeStatus } from "./call.ts";
import { FrameDecoder, type Message } from "./frame.ts";
import {
  ClientRegistry,
  decodeHandshakeResponse,
  firstHandshake,
  handshakeBoth,
} from "./handshake.ts";
import { protocolHash, protocolText } from "./protocol.ts";
import { AvroServerSession } from "./server-session.ts";

const java = "86aadae2c45474c0fe93ffd0f2350a65";
const frames = {
  firstAppend: `00000001 00000002 0000002b ${java} 00 ${java} 0200 00 0c617070656e64 0000000c 02026b027600 0a68656c6c6f`,
  firstReply: "00000001 00000003 00000004 00000000 00000001 00 00000002 0000",
  secondAppend: "00000002 00000002 00000008 00 0c617070656e64 00000007 00 0a68656c6c6f",
  secondReply: "00000002 00000003 00000000 00000001 00 00000002 0000",
  appendBatch:
    "00000003 00000002 0000000d 00 16617070656e644261746368 0000000d 04 00 0261 02026b027600 0262 00",
  failedReply: "00000003 00000003 00000000 00000001 00 00000002 0002",
  unknownReply: "00000003 00000003 00000000 00000001 00 00000002 0004",
  pingReply: "0000004d 00000001 00000004 00000000",
};
const kv = new Map([["k", "v"]]);
const hello = EventBatch.fromEvents([{ headers: kv, body: Buffer.from("hello") }]);
const bare = EventBatch.fromEvents([{ body: Buffer.from("hello") }]);
const two = EventBatch.fromEvents([
  { body: Buffer.from("a") },
  { headers: kv, body: Buffer.from("b") },
]);

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(" ", ""), "hex");
}

function messageOf(bytes: Buffer): Message {
  const decoder = new FrameDecoder(1 << 20);
  decoder.push(bytes);
  const message = decoder.next();
  assert.ok(message !== undefined && !decoder.partial, "one whole message");
  return message;
}

function connectedSession(): AvroServerSession {
  const session = new AvroServerSession(new ClientRegistry());
  session.receive(messageOf(bytesOf(frames.firstAppend)));
  return session;
}

function called(session: AvroServerSession, bytes: Buffer) {
  const request = session.receive(messageOf(bytes));
  assert.equal(request.kind, "call");
  return request as Extract<typeof request, { kind: "call" }>;
}

function eventsOf(batch: EventBatch) {
  return [...batch].map(({ headers, body }) => ({ headers: [...headers], body: body.toString() }));
}

test("a Java client's first append is read, and answered as Java answers", () => {
  const request = called(new AvroServerSession(new ClientRegistry()), bytesOf(frames.firstAppend));
  assert.equal(request.message, "append");
  assert.deepEqual(eventsOf(request.batch), eventsOf(hello));
  assert.deepEqual(encodeStatus(1, request.handshake, "OK"), bytesOf(frames.firstReply));
});

test("a Java client's next calls carry no handshake, and their replies open with an empty buffer", () => {
  const session = connectedSession();
  const append = called(session, bytesOf(frames.secondAppend));
  assert.deepEqual(eventsOf(append.batch), eventsOf(bare));
  assert.deepEqual(encodeStatus(2, append.handshake, "OK"), bytesOf(frames.secondReply));
  const batch = called(session, bytesOf(frames.appendBatch));
  assert.equal(batch.message, "appendBatch");
  assert.deepEqual(eventsOf(batch.batch), eventsOf(two));
  assert.deepEqual(encodeStatus(3, batch.handshake, "FAILED"), bytesOf(frames.failedReply));
  assert.deepEqual(encodeStatus(3, batch.handshake, "UNKNOWN"), bytesOf(frames.unknownReply));
});

test("our calls are the bytes a Java client sends", () => {
  const written = (...call: Parameters<typeof encodeCall>) => Buffer.concat(encodeCall(...call));
  assert.deepEqual(written(1, firstHandshake, "append", hello), bytesOf(frames.firstAppend));
  assert.deepEqual(written(2, undefined, "append", bare), bytesOf(frames.secondAppend));
  assert.deepEqual(written(3, undefined, "appendBatch", two), bytesOf(frames.appendBatch));
  assert.deepEqual(
    written(4, undefined, "appendBatch", EventBatch.empty),
    bytesOf("00000004 00000002 0000000d 00 16617070656e644261746368 00000001 00"),
  );
});

test("a large call is written without copying its events, and reads the same", () => {
  const large = EventBatch.fromEvents(
    Array.from({ length: 100 }, (_, i) => ({ headers: kv, body: Buffer.alloc(500, i) })),
  );
  const buffers = encodeCall(9, undefined, "appendBatch", large);
  assert.ok(buffers.some((buffer) => buffer.buffer === large.runs[0]?.slab.buffer));
  const request = called(connectedSession(), Buffer.concat(buffers));
  assert.deepEqual(eventsOf(request.batch), eventsOf(large));
});

test("a Java server's replies are read", () => {
  const read = (hex: string, greeted: boolean) => {
    const { bytes } = messageOf(bytesOf(hex));
    const cursor = { at: 0 };
    if (!greeted) assert.equal(decodeHandshakeResponse(bytes, cursor).match, "BOTH");
    return decodeReply(bytes, cursor);
  };
  assert.deepEqual(read(frames.firstReply, false), { kind: "status", status: "OK" });
  assert.deepEqual(read(frames.secondReply, true), { kind: "status", status: "OK" });
  assert.deepEqual(read(frames.failedReply, true), { kind: "status", status: "FAILED" });
  assert.deepEqual(read(frames.unknownReply, true), { kind: "status", status: "UNKNOWN" });
  assert.deepEqual(read("00000005 00000003 00000000 00000001 00 00000006 01 00 06 6f6f70", true), {
    kind: "error",
    text: "oop",
  });
});

test("a ping is answered with the handshake alone, on a fresh connection and on a greeted one", () => {
  const ping = bytesOf(`0000004d 00000001 00000025 ${java} 00 ${java} 0200 00 00`);
  const fresh = new AvroServerSession(new ClientRegistry()).receive(messageOf(ping));
  assert.deepEqual(fresh, { kind: "answer", reply: bytesOf(frames.pingReply), error: undefined });
  const again = connectedSession().receive(messageOf(bytesOf("0000004e 00000001 00000002 00 00")));
  assert.deepEqual(again, {
    kind: "answer",
    reply: bytesOf("0000004e 00000001 00000000"),
    error: undefined,
  });
});

test("a client nobody knows is answered NONE in one buffer, with our text under its own hash", () => {
  const unknown = "11".repeat(16);
  const request = bytesOf(
    `00000001 00000001 0000002b ${unknown} 00 ${java} 00 00 0c617070656e64 00 0a68656c6c6f`,
  );
  const session = new AvroServerSession(new ClientRegistry());
  request.writeInt32BE(request.length - 12, 8);
  const answer = session.receive(messageOf(request));
  assert.ok(answer.kind === "answer" && answer.error === undefined);
  const length = protocolText.length;
  const varint = Buffer.from([((length * 2) & 0x7f) | 0x80, (length * 2) >>> 7]).toString("hex");
  const text = Buffer.from(protocolText).toString("hex");
  const body = `04 02 ${varint} ${text} 02 ${protocolHash.toString("hex")} 00`;
  const size = bytesOf(body).length.toString(16).padStart(8, "0");
  assert.deepEqual(answer.reply, bytesOf(`00000001 00000001 ${size} ${body}`));
  // It still waits for a handshake.
  assert.equal(called(session, bytesOf(frames.firstAppend)).message, "append");
});

test("our text is the one Java gives the protocol without its comment", () => {
  assert.equal(protocolHash.toString("hex"), "30da54059df72d9584b867d5202e2069");
  assert.deepEqual(handshakeBoth, Buffer.alloc(4));
});
