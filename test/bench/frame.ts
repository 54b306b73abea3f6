/** Just enough of the Avro wire for a load: a prepared appendBatch, and the status of a reply. */
import { EventBatch, longBytes, writeLong } from "@millrace/core";

/** The MD5 of Flume's protocol, which both sides know. */
export const flumeHash = Buffer.from("86aadae2c45474c0fe93ffd0f2350a65", "hex");

/** 500-byte bodies and three headers, as the figures of Java Flume were made with. */
export function sampleBatch(count: number): EventBatch {
  const headers = new Map([
    ["timestamp", "1700000000000"],
    ["host", "edge-1.example"],
    ["type", "access"],
  ]);
  return EventBatch.fromEvents(
    Array.from({ length: count }, (_, i) => ({
      headers,
      body: Buffer.alloc(500, `event ${i} of a batch, filled up to five hundred bytes; `),
    })),
  );
}

/** A frame of one buffer; the caller writes the serial over the first four bytes of `head`. */
export function createFrame(
  count: number,
  hash: Buffer | undefined,
): { head: Buffer; body: Buffer } {
  const handshake =
    hash === undefined
      ? Buffer.alloc(0)
      : Buffer.concat([hash, Buffer.from([0]), hash, Buffer.from([2, 0])]);
  const name = Buffer.from("\u0016appendBatch");
  const length = Buffer.alloc(longBytes(count));
  writeLong(length, 0, count);
  const body = Buffer.concat([
    handshake,
    Buffer.from([0]),
    name,
    length,
    ...sampleBatch(count).gather(),
    Buffer.from([0]),
  ]);
  const head = Buffer.alloc(12);
  head.writeInt32BE(1, 4);
  head.writeInt32BE(body.length, 8);
  return { head, body };
}

/** The first whole reply in the bytes: how long it is and whether its status is OK. */
export function replyStatus(bytes: Buffer): { bytes: number; ok: boolean } | undefined {
  if (bytes.length < 8) return undefined;
  let at = 8;
  for (let rest = bytes.readInt32BE(4); rest > 0; rest--) {
    if (bytes.length < at + 4) return undefined;
    at += 4 + bytes.readInt32BE(at);
  }
  if (bytes.length < at) return undefined;
  // The last two bytes are the error flag and the status: 00 00 is "no error, OK".
  return { bytes: at, ok: bytes[at - 1] === 0 && bytes[at - 2] === 0 };
}
