import { EventBatch } from "@millrace/core";
import { encodeWireEvent } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { encodeCall } from "./encode-call.ts";
import { headersMax, nestingMax, type ThriftProtocol } from "./protocol.ts";
import { libraryFrame, readMessage, writeAppendBatch } from "./test-library.test.ts";

const protocols: readonly ThriftProtocol[] = ["compact", "binary"];
const compactHead = "8221 01 06 617070656e64";
const binaryHead = "80010001 00000006 617070656e64 00000001";

function read(protocol: ThriftProtocol, message: Buffer | string): EventBatch {
  const bytes =
    typeof message === "string" ? Buffer.from(message.replaceAll(" ", ""), "hex") : message;
  const request = readMessage(protocol, bytes);
  if (request.kind !== "call") throw request.error ?? new Error("answered without an error");
  return request.batch;
}

function pairs(batch: EventBatch, index = 0): (readonly [string, string])[] {
  return [...batch.at(index).headers];
}

for (const protocol of protocols) {
  for (const { name, names } of [
    { name: "few headers", names: ["a", "b", "a", "c", "a", "b"] },
    {
      name: "many headers",
      names: [...Array.from({ length: 40 }, (_, i) => `h${i}`), "h7", "h0", "h7"],
    },
  ]) {
    test(`${protocol}: of a name that occurs twice among ${name} the last value stays, once`, () => {
      const headers = names.map((text, i) => [text, String(i)] as const);
      const frame = libraryFrame(protocol, (output) =>
        writeAppendBatch(output, 1, [{ headers, body: Buffer.from("x") }]),
      );
      const batch = read(protocol, frame.subarray(4));
      assert.deepEqual(new Map(pairs(batch)), new Map(headers));
      assert.equal(batch.byteLength, EventBatch.fromEvents([...batch]).byteLength);
    });
  }

  test(`${protocol}: a map in several blocks, as Avro allows, is one map in Thrift`, () => {
    const bytes = encodeWireEvent({
      blocks: [
        { headers: [["a", "1"]], negative: true },
        {
          headers: [
            ["b", "2"],
            ["a", "3"],
          ],
          negative: false,
        },
      ],
      body: Buffer.from("body"),
    });
    const batch = EventBatch.scan(bytes, 0, bytes.length, 1);
    const arrived = read(protocol, encodeCall(protocol, 1, "appendBatch", batch).subarray(4));
    assert.deepEqual(pairs(arrived), [
      ["b", "2"],
      ["a", "3"],
    ]);
    assert.equal(arrived.at(0).body.toString(), "body");
  });

  test(`${protocol}: events of which only the last has headers are written all the same`, () => {
    const many = new Map(Array.from({ length: 500 }, (_, i) => [`n${i}`, ""]));
    const batch = EventBatch.fromEvents([
      ...Array.from({ length: 5 }, () => ({ body: Buffer.from("b") })),
      { headers: many, body: Buffer.from("last") },
    ]);
    const arrived = read(protocol, encodeCall(protocol, 1, "appendBatch", batch).subarray(4));
    assert.deepEqual(Buffer.concat(arrived.gather()), Buffer.concat(batch.gather()));
  });

  test(`${protocol}: more headers than ${headersMax} are refused`, () => {
    const headers = Array.from({ length: headersMax + 1 }, (_, i) => [String(i), ""] as const);
    const frame = libraryFrame(protocol, (output) =>
      writeAppendBatch(output, 1, [{ headers, body: Buffer.alloc(0) }]),
    );
    assert.throws(() => read(protocol, frame.subarray(4)), {
      code: "CALL_MALFORMED",
      message: /65537 headers, over 65536/,
    });
  });

  test(`${protocol}: header bytes that are no UTF-8 are kept as they are, as on the Avro wire`, () => {
    const bytes = Buffer.from("0202ff02fe0000", "hex");
    const batch = EventBatch.scan(bytes, 0, bytes.length, 1);
    const arrived = read(protocol, encodeCall(protocol, 1, "append", batch).subarray(4));
    assert.deepEqual(Buffer.concat(arrived.gather()), bytes);
  });

  test(`${protocol}: a slab holds little beside its events`, () => {
    const headers = new Map([["host", "h"]]);
    const batch = EventBatch.fromEvents(
      Array.from({ length: 1000 }, () => ({ headers, body: Buffer.from("x") })),
    );
    const arrived = read(protocol, encodeCall(protocol, 1, "appendBatch", batch).subarray(4));
    assert.ok(arrived.heldBytes < arrived.byteLength * 1.2, `${arrived.heldBytes} bytes are held`);
  });
}

test("compact: fields that are not known are read past, of every type", () => {
  const unknown = [
    "21", // 3: true
    "12", // 4: false
    "13 07", // 5: byte
    "14 8001", // 6: i16
    "15 ffffffff0f", // 7: i32
    "16 ffffffffffffffffff01", // 8: i64
    "17 0102030405060708", // 9: double
    "18 03 616263", // 10: string
    "19 31 010201", // 11: list of bool
    "1a 25 0204", // 12: set of i32
    "1b 01 83 0178 05", // 13: map of string to byte
    "1c 15 0e 00", // 14: struct
    "1d 00112233445566778899aabbccddeeff", // 15: uuid
    "05 c801 02", // 100: i32, by its id
  ].join(" ");
  // First the body (2), then those, then the headers (1) by their id.
  const event = `28 01 61 ${unknown.replace(/^21/, "11")} 0b 02 01 88 016b 0176 00`;
  const batch = read("compact", `${compactHead} 1c ${event} 00`);
  assert.deepEqual([pairs(batch), batch.at(0).body.toString()], [[["k", "v"]], "a"]);
  // And beside the event.
  assert.equal(
    read("compact", `${compactHead} 1c 1b 00 18 00 00 ${unknown.replace(/^21/, "11")} 00`).length,
    1,
  );
});

test("binary: fields that are not known are read past, of every type", () => {
  const unknown = [
    "02 0003 01", // bool
    "03 0004 07", // byte
    "04 0005 0102030405060708", // double
    "06 0006 0001", // i16
    "08 0007 ffffffff", // i32
    "0a 0008 ffffffffffffffff", // i64
    "0b 0009 00000003 616263", // string
    "0c 000a 08 0001 00000007 00", // struct
    "0d 000b 0b 03 00000001 00000001 78 05", // map of string to byte
    "0e 000c 08 00000002 00000001 00000002", // set of i32
    "0f 000d 02 00000003 010001", // list of bool
    "10 000e 00112233445566778899aabbccddeeff", // uuid
    "0f 000f 00 00000000", // an empty list of no type
  ].join(" ");
  const event = `0b 0002 00000001 61 ${unknown} 0d 0001 0b0b 00000001 00000001 6b 00000001 76 00`;
  const batch = read("binary", `${binaryHead} 0c 0001 ${event} 00`);
  assert.deepEqual([pairs(batch), batch.at(0).body.toString()], [[["k", "v"]], "a"]);
});

test("a body in front of long headers is moved behind them whole", () => {
  const body = Buffer.from("the body ".repeat(30));
  const long = Buffer.alloc(120, "v");
  const hex = [
    compactHead,
    "1c 28",
    Buffer.from([(body.length & 0x7f) | 0x80, body.length >> 7]).toString("hex"),
    body.toString("hex"),
    "0b 02 02 88 0161 78",
    long.toString("hex"),
    "0162 78",
    long.toString("hex"),
    "00 00",
  ].join(" ");
  const batch = read("compact", hex);
  assert.equal(batch.at(0).body.toString(), body.toString());
  assert.deepEqual(pairs(batch), [
    ["a", long.toString()],
    ["b", long.toString()],
  ]);
});

for (const { name, hex, says } of [
  {
    name: "values nested too deep",
    hex: `${compactHead} ${"2c".repeat(nestingMax + 2)} 00`,
    says: /nested over 32 deep/,
  },
  {
    name: "lists nested too deep",
    hex: `${compactHead} 29 ${"19".repeat(nestingMax + 2)} 00`,
    says: /nested over 32 deep/,
  },
  { name: "a number without an end", hex: `${compactHead} 1c 1b ffffffffff`, says: /over 32 bits/ },
  { name: "a field of no type", hex: `${compactHead} 1e 00`, says: /no field of Thrift/ },
  { name: "a field id over 16 bits", hex: `${compactHead} 05 ffffffff0f 00`, says: /no field/ },
  {
    name: "the event twice",
    hex: `${compactHead} 1c 1b00 1800 00 0c 02 1b00 1800 00 00`,
    says: /second time/,
  },
  {
    name: "the body twice",
    hex: `${compactHead} 1c 1b00 1800 08 04 00 00 00`,
    says: /field 2 of an event a second time/,
  },
  {
    name: "the headers twice",
    hex: `${compactHead} 1c 1b00 1800 0b 02 00 00 00`,
    says: /field 1 of an event a second time/,
  },
  { name: "an event cut off", hex: `${compactHead} 1c 1b00 1800`, says: /cut off/ },
  { name: "another version", hex: "8222 01 06 617070656e64", says: /version 2/ },
  {
    name: "a name that is too long",
    hex: `8221 01 ff01 ${"61".repeat(255)} 00`,
    says: /message name of 255 bytes/,
  },
]) {
  test(`compact: ${name} is CALL_MALFORMED`, () => {
    assert.throws(() => read("compact", hex), { code: "CALL_MALFORMED", message: says });
  });
}

for (const { name, hex, says } of [
  {
    name: "a negative length",
    hex: `${binaryHead} 0c 0001 0b 0002 ffffffff`,
    says: /a length of -1/,
  },
  {
    name: "a negative count",
    hex: `${binaryHead} 0c 0001 0d 0001 0b0b ffffffff`,
    says: /-1 elements/,
  },
  {
    name: "more headers than bytes",
    hex: `${binaryHead} 0c 0001 0d 0001 0b0b 00000002 00000000 00000000`,
    says: /2 elements that cannot be there/,
  },
  { name: "a field of no type", hex: `${binaryHead} 01 0001 00`, says: /a field of type 1/ },
  { name: "a list of no type", hex: `${binaryHead} 0f 0003 07 00000001 00`, says: /1 elements/ },
  { name: "another version", hex: "80020001 00000000", says: /not the binary protocol/ },
]) {
  test(`binary: ${name} is CALL_MALFORMED`, () => {
    assert.throws(() => read("binary", hex), { code: "CALL_MALFORMED", message: says });
  });
}
