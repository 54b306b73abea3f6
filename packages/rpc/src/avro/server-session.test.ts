import { EventBatch, longBytes, stringBytes, writeLong, writeString } from "@millrace/core";
import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { decodeReply, encodeCall } from "./call.ts";
import { FrameDecoder, type Message } from "./frame.ts";
import {
  ClientRegistry,
  decodeHandshakeResponse,
  firstHandshake,
  handshakeWithText,
} from "./handshake.ts";
import { hashOf, javaHash, protocolHash, protocolText } from "./protocol.ts";
import { AvroServerSession, type Request } from "./server-session.ts";

const event = EventBatch.fromEvents([{ body: Buffer.from("x") }]);
const metadataAndAppend = Buffer.from("000c617070656e64", "hex");

function message(...parts: (Uint8Array | string)[]): Message {
  const bytes = parts.map((p) =>
    typeof p === "string" ? Buffer.from(p.replaceAll(" ", ""), "hex") : p,
  );
  return { serial: 1, bytes: Buffer.concat(bytes) };
}

function handshake(clientHash: Buffer, text: string | null, serverHash: Buffer): Buffer {
  const protocol = Buffer.alloc(text === null ? 1 : 1 + stringBytes(text));
  if (text !== null) {
    writeLong(protocol, 0, 1);
    writeString(protocol, 1, text);
  }
  return Buffer.concat([clientHash, protocol, serverHash, Buffer.from([0])]);
}

function firstCall(session: AvroServerSession, opening: Buffer): Request {
  return session.receive(message(opening, metadataAndAppend, event.bytesAt(0)));
}

function answerOf(request: Request) {
  assert.equal(request.kind, "answer");
  const { reply, error } = request as Extract<Request, { kind: "answer" }>;
  const decoder = new FrameDecoder(1 << 20);
  decoder.push(reply);
  return { bytes: (decoder.next() as Message).bytes, error };
}

function greeted(): AvroServerSession {
  const session = new AvroServerSession(new ClientRegistry());
  assert.equal(firstCall(session, firstHandshake).kind, "call");
  return session;
}

/** Another text of the same protocol: other names, types written in place. */
const sameElsewhere = JSON.stringify({
  protocol: "Mine",
  namespace: "org.example",
  types: [],
  messages: {
    append: {
      request: [
        {
          name: "e",
          type: {
            type: "record",
            name: "Ev",
            fields: [
              {
                name: "headers",
                type: { type: "map", values: { type: "string", "avro.java.string": "String" } },
              },
              { name: "body", type: { type: "bytes" } },
            ],
          },
        },
      ],
      response: { type: "enum", name: "S", symbols: ["OK", "FAILED", "UNKNOWN"] },
    },
    appendBatch: {
      request: [{ name: "es", type: { type: "array", items: "org.example.Ev" } }],
      response: "S",
    },
  },
});
const otherEvent = protocolText.replace('"values":"string"', '"values":"bytes"');

test("a known client is answered BOTH, and CLIENT with our text when it takes us for another", () => {
  for (const { clientHash, serverHash, match } of [
    { clientHash: javaHash, serverHash: javaHash, match: "BOTH" },
    { clientHash: javaHash, serverHash: protocolHash, match: "BOTH" },
    { clientHash: protocolHash, serverHash: javaHash, match: "BOTH" },
    { clientHash: javaHash, serverHash: Buffer.alloc(16), match: "CLIENT" },
  ]) {
    const session = new AvroServerSession(new ClientRegistry());
    const request = firstCall(session, handshake(clientHash, null, serverHash));
    assert.ok(request.kind === "call", "the call itself is processed");
    const response = decodeHandshakeResponse(request.handshake, { at: 0 });
    assert.equal(response.match, match);
    assert.equal(response.serverProtocol, match === "CLIENT" ? protocolText : null);
    assert.deepEqual(response.serverHash, match === "CLIENT" ? protocolHash : null);
  }
});

test("after NONE the same connection takes the handshake again, with text", () => {
  const registry = new ClientRegistry();
  const session = new AvroServerSession(registry);
  const hash = hashOf(sameElsewhere);
  const { bytes } = answerOf(firstCall(session, handshake(hash, null, javaHash)));
  assert.equal(decodeHandshakeResponse(bytes, { at: 0 }).match, "NONE");
  const request = firstCall(session, handshake(hash, sameElsewhere, protocolHash));
  assert.ok(request.kind === "call");
  assert.equal(decodeHandshakeResponse(request.handshake, { at: 0 }).match, "BOTH");
  const next = new AvroServerSession(registry);
  assert.equal(firstCall(next, handshake(hash, null, protocolHash)).kind, "call", "remembered");
});

test("a text under a hash that is not its own is not remembered", () => {
  const registry = new ClientRegistry();
  const hash = Buffer.alloc(16, 9);
  const first = firstCall(
    new AvroServerSession(registry),
    handshake(hash, sameElsewhere, javaHash),
  );
  assert.equal(first.kind, "call");
  const { bytes } = answerOf(
    firstCall(new AvroServerSession(registry), handshake(hash, null, javaHash)),
  );
  assert.equal(decodeHandshakeResponse(bytes, { at: 0 }).match, "NONE");
});

test("a client whose events are other ones is told so on every call: CALL_MALFORMED", () => {
  for (const text of [
    otherEvent,
    "{",
    "{}",
    '{"messages":{"append":{"request":[]}}}',
    "[".repeat(20_000),
  ]) {
    const session = new AvroServerSession(new ClientRegistry());
    const { bytes, error } = answerOf(firstCall(session, handshake(hashOf(text), text, javaHash)));
    assert.equal(error?.code, "CALL_MALFORMED");
    const cursor = { at: 0 };
    decodeHandshakeResponse(bytes, cursor);
    const reply = decodeReply(bytes, cursor);
    assert.ok(reply.kind === "error" && /not Flume's protocol: its/.test(reply.text));
    const again = answerOf(session.receive(message(metadataAndAppend, event.bytesAt(0))));
    assert.equal(decodeReply(again.bytes, { at: 0 }).kind, "error");
  }
});

test("meta is taken null, empty, filled, and in negative blocks", () => {
  const head = Buffer.concat([javaHash, Buffer.from([0]), javaHash]);
  for (const meta of ["00", "0200", "02 02 026b 0276 00", "02 01 08 026b 0276 00"]) {
    const session = new AvroServerSession(new ClientRegistry());
    const request = session.receive(message(head, meta, metadataAndAppend, event.bytesAt(0)));
    assert.equal(request.kind, "call", meta);
  }
});

test("call metadata is read past in every form of Avro's blocks", () => {
  const origin = "1e6d696c6c726163652e6f726967696e";
  for (const metadata of ["00", `02 ${origin} 0401ff 00`, `01 26 ${origin} 0401ff 00`]) {
    const request = greeted().receive(message(metadata, "0c617070656e64", event.bytesAt(0)));
    assert.equal(request.kind, "call", metadata);
  }
});

const wrong = [
  {
    name: "an unknown message",
    bytes: "00 08 6e6f7065 00 0278",
    code: "CALL_MALFORMED",
    says: /No such remote message: nope/,
  },
  {
    name: "a metadata map that claims more than there is",
    bytes: "fe ff ff ff 0f 02 61",
    code: "CALL_MALFORMED",
    says: /header count/,
  },
  {
    name: "a metadata map that never ends",
    bytes: "02 026b 0276 ".repeat(1000),
    code: "CALL_MALFORMED",
    says: /cut off/,
  },
  {
    name: "a message name of 2 GiB",
    bytes: "00 fe ff ff ff 0f",
    code: "CALL_MALFORMED",
    says: /message name of 2147483647 bytes/,
  },
  { name: "no bytes at all", bytes: "", code: "CALL_MALFORMED", says: /cut off/ },
  {
    name: "an event cut short",
    bytes: "00 0c617070656e64 00 0a6865",
    code: "EVENT_MALFORMED",
    says: /body length 5/,
  },
  {
    name: "two events where one belongs",
    bytes: "00 0c617070656e64 00 00 00 00",
    code: "EVENT_MALFORMED",
    says: /behind the last event/,
  },
  {
    name: "a batch of two thousand million",
    bytes: "00 16617070656e644261746368 fe ff ff ff 0f 00 00",
    code: "EVENT_MALFORMED",
    says: /cannot fit/,
  },
  {
    name: "a batch without its end",
    bytes: "00 16617070656e644261746368 02 00 00",
    code: "EVENT_MALFORMED",
    says: /cut off/,
  },
  {
    name: "a second handshake",
    bytes: firstHandshake.toString("hex") + "000c617070656e640000",
    code: "CALL_MALFORMED",
    says: /neither metadata nor/,
  },
];
for (const { name, bytes, code, says } of wrong) {
  test(`${name} is answered with a system error (${code}), and the next call is read`, () => {
    const session = greeted();
    const answer = answerOf(session.receive(message(bytes)));
    assert.equal(answer.error?.code, code);
    const reply = decodeReply(answer.bytes, { at: 0 });
    assert.ok(reply.kind === "error" && says.test(reply.text), JSON.stringify(reply));
    assert.equal(session.receive(message(metadataAndAppend, event.bytesAt(0))).kind, "call");
  });
}

for (const { name, bytes } of [
  { name: "nothing", bytes: "" },
  { name: "fifteen bytes", bytes: "00".repeat(15) },
  { name: "a text length beyond the message", bytes: `${"00".repeat(16)} 02 fe01 00` },
  { name: "a text of 1 GiB", bytes: `${"00".repeat(16)} 02 80 80 80 80 08 00` },
  { name: "a meta map of a thousand million", bytes: `${"00".repeat(33)} 02 80a8d6b907 00` },
  { name: "a union of three", bytes: `${"00".repeat(16)} 06 00` },
]) {
  test(`${name} for a handshake is FRAME_MALFORMED`, () => {
    assert.throws(() => new AvroServerSession(new ClientRegistry()).receive(message(bytes)), {
      code: "FRAME_MALFORMED",
      message: /handshake cannot be read/,
    });
  });
}

test("random damage to a first and a second call gives a call, an answer or FRAME_MALFORMED", () => {
  const batch = EventBatch.fromEvents(
    Array.from({ length: 3 }, (_, i) => ({
      headers: new Map([["k", "v"]]),
      body: Buffer.alloc(i),
    })),
  );
  const decoder = new FrameDecoder(1 << 20);
  for (const opening of [handshakeWithText(null), undefined]) {
    decoder.push(Buffer.concat(encodeCall(1, opening, "appendBatch", batch)));
  }
  const calls = [decoder.next() as Message, decoder.next() as Message];
  const seen = { call: 0, answer: 0, broken: 0, thrown: 0 };
  fc.assert(
    fc.property(
      fc.nat(1),
      fc.array(fc.record({ at: fc.nat(1000), value: fc.nat(255) }), { minLength: 1, maxLength: 4 }),
      fc.nat(40),
      (which, damages, cutBytes) => {
        const { bytes } = calls[which] as Message;
        const copy = Buffer.from(
          bytes.subarray(0, bytes.length - (cutBytes > 20 ? cutBytes - 20 : 0)),
        );
        for (const { at, value } of damages) copy[at % copy.length] = value;
        const session = which === 0 ? new AvroServerSession(new ClientRegistry()) : greeted();
        try {
          seen[session.receive({ serial: 1, bytes: copy }).kind]++;
        } catch (error) {
          seen.thrown++;
          assert.equal((error as { code?: string }).code, "FRAME_MALFORMED");
        }
      },
    ),
    { numRuns: Number(process.env["SEEDS"] ?? 2000) },
  );
  assert.ok(seen.call > 0 && seen.answer > 0 && seen.thrown > 0, JSON.stringify(seen));
});

test("a text over the limit is not looked at", () => {
  const size = 70_000;
  const protocol = Buffer.alloc(1 + longBytes(size) + size, "x");
  writeLong(protocol, writeLong(protocol, 0, 1), size);
  const opening = Buffer.concat([Buffer.alloc(16), protocol, javaHash, Buffer.from([0])]);
  assert.throws(() => firstCall(new AvroServerSession(new ClientRegistry()), opening), {
    code: "FRAME_MALFORMED",
    message: /protocol text of 70000 bytes/,
  });
});
