/** Scribe's service against captured bytes, and the `thrift` library as client. */
import { type EventBatch, MillraceError, systemClock } from "@millrace/core";
import { createCollectingLog, waitFor, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test, type TestContext } from "node:test";
import thrift from "thrift";
import { FrameDecoder } from "../thrift/frame.ts";
import { eachField, libraryFrame, type Protocol } from "../thrift/test-library.test.ts";
import type { EventHandler } from "../wire/event-server.ts";
import { createScribeServer } from "./scribe-server.ts";

const { Type, MessageType } = thrift.Thrift;
const never = new AbortController().signal;

interface LogEntry {
  readonly category?: string;
  readonly message?: string | Buffer;
}

function writeLog(output: Protocol, sequence: number, entries: readonly LogEntry[]): void {
  output.writeMessageBegin("Log", MessageType.CALL, sequence);
  output.writeStructBegin("args");
  output.writeFieldBegin("messages", Type.LIST, 1);
  output.writeListBegin(Type.STRUCT, entries.length);
  for (const { category, message } of entries) {
    output.writeStructBegin("LogEntry");
    if (category !== undefined) {
      output.writeFieldBegin("category", Type.STRING, 1);
      output.writeString(category);
      output.writeFieldEnd();
    }
    if (message !== undefined) {
      output.writeFieldBegin("message", Type.STRING, 2);
      output.writeBinary(Buffer.from(message as string));
      output.writeFieldEnd();
    }
    output.writeFieldStop();
    output.writeStructEnd();
  }
  output.writeListEnd();
  output.writeFieldEnd();
  output.writeFieldStop();
  output.writeStructEnd();
  output.writeMessageEnd();
}

async function serve(test: TestContext, handler?: EventHandler) {
  const batches: EventBatch[] = [];
  const malformed: MillraceError[] = [];
  const server = createScribeServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log: createCollectingLog(),
    observer: { requestMalformed: (error) => malformed.push(error) },
    handler:
      handler ??
      (async (batch) => {
        batches.push(batch);
        return "OK";
      }),
  });
  await server.start(never);
  test.after(() => server.stop(AbortSignal.abort()));
  return { server, batches, malformed };
}

async function peerOf(test: TestContext, port: number) {
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  test.after(() => socket.destroy());
  const decoder = new FrameDecoder(1 << 20);
  const replies: string[] = [];
  let ended = false;
  socket.on("error", () => {});
  socket.on("end", () => (ended = true));
  socket.on("data", (chunk) => {
    decoder.push(chunk);
    for (let m = decoder.next(); m !== undefined; m = decoder.next()) {
      replies.push(m.bytes.toString("hex", m.start));
    }
  });
  return {
    socket,
    ended: () => waitFor("the end", () => ended),
    async reply(): Promise<string> {
      await waitFor("a reply", () => replies.length > 0);
      return replies.shift() as string;
    },
  };
}

const reply = (code: number, sequence = 7): string =>
  `000000034c6f6702${sequence.toString(16).padStart(8, "0")}0800000000000${code}00`;

test("each entry of a Log is an event: its message the body, its category a header (T938, T939)", async (t) => {
  const { server, batches } = await serve(t);
  const peer = await peerOf(t, server.port);
  const entries = [
    { category: "app", message: "one" },
    { message: "two" },
    { category: "naïve", message: Buffer.from([0xff, 0x00]) },
    { category: "empty", message: "" },
    { category: "no message" },
  ];
  peer.socket.write(libraryFrame("binary", (output) => writeLog(output, 7, entries)));
  assert.equal(await peer.reply(), reply(0), "the old form of a message's head");
  assert.equal(batches.length, 1);
  assert.deepEqual(
    [...(batches[0] as EventBatch)].map(({ headers, body }) => [
      headers.get("category"),
      headers.size,
      body.toString("hex"),
    ]),
    [
      ["app", 1, "6f6e65"],
      [undefined, 0, "74776f"],
      ["naïve", 1, "ff00"],
      ["empty", 1, ""],
      ["no message", 1, ""],
    ],
  );
});

test("the library's client logs, and understands the answers", async (t) => {
  const answers = ["OK", "FAILED", "OK"] as const;
  let calls = 0;
  const { server } = await serve(t, async () => answers[calls++] ?? "OK");
  const connection = thrift.createConnection("127.0.0.1", server.port, {
    transport: thrift.TFramedTransport,
    protocol: thrift.TBinaryProtocol,
  });
  t.after(() => connection.destroy());
  const codes: number[] = [];
  class ScribeClient {
    readonly _reqs: Record<number, unknown> = {};
    readonly #transport: unknown;
    constructor(transport: unknown) {
      this.#transport = transport;
    }
    Log(sequence: number, message: string): void {
      const output = new thrift.TBinaryProtocol(this.#transport as never);
      writeLog(output, sequence, [{ category: "c", message }]);
      output.flush();
    }
    recv_Log(input: Protocol): void {
      eachField(input, () => codes.push(input.readI32()));
      input.readMessageEnd();
    }
  }
  const client = thrift.createClient(ScribeClient as never, connection) as ScribeClient;
  for (const sequence of [1, 2, 3]) client.Log(sequence, `message ${sequence}`);
  await waitFor("three answers", () => codes.length === 3);
  assert.deepEqual(codes, [0, 1, 0]);
});

test("whatever goes wrong with a Log is TRY_LATER, and the next is served", async (t) => {
  const outcomes = [
    () => Promise.reject(new MillraceError("CHANNEL_FULL", "full")),
    () => Promise.reject(new TypeError("a mistake")),
    () => Promise.resolve("OK" as const),
  ];
  let calls = 0;
  const { server } = await serve(t, () => (outcomes[calls++] as () => Promise<"OK">)());
  const peer = await peerOf(t, server.port);
  for (const code of [1, 1, 0]) {
    peer.socket.write(libraryFrame("binary", (output) => writeLog(output, 7, [{ message: "m" }])));
    assert.equal(await peer.reply(), reply(code));
  }
});

test("a Log in the old form of a head is read too, and one without messages is TRY_LATER", async (t) => {
  const { server, batches, malformed } = await serve(t);
  const peer = await peerOf(t, server.port);
  const old = "000000034c6f670100000007";
  peer.socket.write(Buffer.from(`00000015${old}0f00010c0000000000`, "hex"));
  assert.equal(await peer.reply(), reply(0));
  assert.equal(batches[0]?.length, 0);
  peer.socket.write(Buffer.from(`0000000d${old}00`, "hex"));
  assert.equal(await peer.reply(), reply(1));
  assert.deepEqual(
    malformed.map(({ code }) => code),
    ["CALL_MALFORMED"],
  );
});

test("another method is answered UNKNOWN_METHOD, and the connection goes on", async (t) => {
  const { server } = await serve(t);
  const peer = await peerOf(t, server.port);
  const message = Buffer.concat([
    Buffer.from("80010001" + "00000009", "hex"),
    Buffer.from("getStatus"),
    Buffer.from("0000000700", "hex"),
  ]);
  const head = Buffer.alloc(4);
  head.writeInt32BE(message.length);
  peer.socket.write(Buffer.concat([head, message]));
  const answer = Buffer.from(await peer.reply(), "hex");
  assert.match(answer.toString("latin1"), /Invalid method name: 'getStatus'/);
  assert.equal(answer.toString("hex").endsWith("0800020000000100"), true);
  peer.socket.write(libraryFrame("binary", (output) => writeLog(output, 7, [])));
  assert.equal(await peer.reply(), reply(0));
});

test("what cannot be read is PROTOCOL_ERROR, its connection is closed, nothing of it is kept", async (t) => {
  const { server, batches, malformed } = await serve(t);
  const peer = await peerOf(t, server.port);
  const frame = libraryFrame("binary", (output) =>
    writeLog(output, 7, [{ message: "kept?" }, { message: "cut" }]),
  );
  const cut = frame.subarray(0, frame.length - 6);
  cut.writeInt32BE(cut.length - 4, 0);
  peer.socket.write(cut);
  assert.match(Buffer.from(await peer.reply(), "hex").toString("latin1"), /CALL_MALFORMED/);
  await within("the end", peer.ended());
  assert.deepEqual([batches.length, malformed.length], [0, 1]);
});
