import { EventBatch, MillraceError, silentLog, systemClock } from "@millrace/core";
import { createCollectingLog, createFakeClock, settle, waitFor, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test, type TestContext } from "node:test";
import type { EventServerOptions } from "../wire/event-server.ts";
import { decodeReply, type Reply } from "./call.ts";
import { createThriftClient } from "./client.ts";
import { encodeCall } from "./encode-call.ts";
import { FrameDecoder } from "./frame.ts";
import type { ThriftProtocol } from "./protocol.ts";
import { createThriftServer } from "./server.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const events = (...bodies: string[]): EventBatch =>
  EventBatch.fromEvents(bodies.map((body) => ({ body: Buffer.from(body) })));

type ServeOptions = Partial<EventServerOptions> & { readonly protocol?: ThriftProtocol };

async function serve(test: TestContext, options: ServeOptions = {}) {
  const seen = { opened: 0, closed: 0, refused: 0, malformed: [] as MillraceError[] };
  const log = createCollectingLog();
  const bodies: string[] = [];
  const server = createThriftServer({
    host: "127.0.0.1",
    port: 0,
    protocol: "compact",
    clock: systemClock,
    log,
    handler: (batch) => {
      for (const { body } of batch) bodies.push(body.toString());
      return Promise.resolve("OK");
    },
    observer: {
      connectionOpened: () => seen.opened++,
      connectionClosed: () => seen.closed++,
      connectionRefused: () => seen.refused++,
      requestMalformed: (error) => seen.malformed.push(error),
    },
    ...options,
  });
  await server.start(never);
  test.after(() => server.stop(now));
  return { server, seen, log, bodies };
}

/** A client of bytes: what it sends is what the test says. */
async function rawPeer(test: TestContext, port: number, protocol: ThriftProtocol = "compact") {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  await once(socket, "connect");
  test.after(() => socket.destroy());
  const decoder = new FrameDecoder(1 << 24);
  const replies: Reply[] = [];
  let ended = false;
  socket.on("data", (chunk) => {
    decoder.push(chunk);
    for (let m = decoder.next(); m !== undefined; m = decoder.next()) {
      replies.push(decodeReply(protocol, m.bytes.subarray(m.start)));
    }
  });
  socket.on("error", () => {});
  socket.on("close", () => (ended = true));
  socket.on("end", () => (ended = true));
  let sequence = 0;
  return {
    socket,
    replied: replies,
    ended: () => waitFor("the server to close", () => ended),
    isOpen: () => !ended,
    call(batch: EventBatch, name: "append" | "appendBatch" = "appendBatch"): void {
      socket.write(encodeCall(protocol, ++sequence, name, batch));
    },
    /** A message in hexadecimal, in a frame. */
    send(hex: string): void {
      const message = Buffer.from(hex.replaceAll(" ", ""), "hex");
      const length = Buffer.alloc(4);
      length.writeInt32BE(message.length);
      socket.write(Buffer.concat([length, message]));
    },
    /** The next replies: the sequence number, and the status or the exception's type and text. */
    async replies(count: number): Promise<(readonly [number, string])[]> {
      await waitFor(`${count} replies, have ${replies.length}`, () => replies.length >= count);
      return replies
        .splice(0, count)
        .map((reply) => [
          reply.head.sequence,
          reply.kind === "status" ? reply.status : `${reply.type} ${reply.text}`,
        ]);
    },
  };
}

async function assertServes(port: number, protocol: ThriftProtocol = "compact"): Promise<void> {
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
  await client.connect();
  await client.appendBatch(events("good"));
  client.close();
}

for (const protocol of ["compact", "binary"] as const) {
  test(`${protocol}: the server processes a call, then answers OK on the same connection`, async (t) => {
    const { server, bodies, seen } = await serve(t, { protocol });
    const peer = await rawPeer(t, server.port, protocol);
    peer.call(events("a"), "append");
    peer.call(events("b", "c"));
    peer.call(EventBatch.empty);
    assert.deepEqual(await peer.replies(3), [
      [1, "OK"],
      [2, "OK"],
      [3, "OK"],
    ]);
    assert.deepEqual(bodies, ["a", "b", "c"]);
    assert.deepEqual([server.connectionCount, seen.opened], [1, 1]);
  });

  test(`${protocol}: an unknown method is answered UNKNOWN_METHOD, and the connection goes on`, async (t) => {
    const { server, seen } = await serve(t, { protocol });
    const peer = await rawPeer(t, server.port, protocol);
    const call = encodeCall(protocol, 1, "append", events("a"));
    peer.socket.write(Buffer.from(call.toString("latin1").replace("append", "appent"), "latin1"));
    peer.call(events("b"));
    assert.deepEqual(await peer.replies(2), [
      [1, "1 Invalid method name: 'appent'"],
      [1, "OK"],
    ]);
    assert.deepEqual(
      seen.malformed.map(({ code }) => code),
      ["CALL_MALFORMED"],
    );
  });
}

test("a message in the old form of the binary protocol is read, and answered in the strict one", async (t) => {
  const { server, bodies } = await serve(t, { protocol: "binary" });
  const peer = await rawPeer(t, server.port, "binary");
  peer.send(
    "00000006 617070656e64 01 00000009 0c0001 0d0001 0b0b 00000000 0b0002 00000003 6f6c64 00 00",
  );
  assert.deepEqual(await peer.replies(1), [[9, "OK"]]);
  assert.deepEqual(bodies, ["old"]);
});

test("FAILED leaves the connection open, and the next call is served", async (t) => {
  const answers = ["FAILED", "OK"] as const;
  let calls = 0;
  const { server } = await serve(t, { handler: async () => answers[calls++] ?? "OK" });
  const peer = await rawPeer(t, server.port);
  peer.call(events("a"));
  peer.call(events("b"));
  assert.deepEqual(await peer.replies(2), [
    [1, "FAILED"],
    [2, "OK"],
  ]);
});

test("a handler's own error is FAILED, any other an internal error, as in Java", async (t) => {
  const errors = [new MillraceError("CHANNEL_FULL", "full"), new TypeError("a mistake of ours")];
  let calls = 0;
  const { server, log } = await serve(t, {
    handler: () => {
      throw errors[calls++ % 2] as Error;
    },
  });
  const peer = await rawPeer(t, server.port);
  peer.call(events("a"), "append");
  peer.call(events("b"), "append");
  peer.call(events("c"));
  peer.call(events("d"));
  assert.deepEqual(await peer.replies(4), [
    [1, "FAILED"],
    [2, "6 Internal error processing append"],
    [3, "FAILED"],
    [4, "6 Internal error processing appendBatch"],
  ]);
  assert.equal(log.lines.filter(({ level }) => level === "error").length, 4);
});

test("replies keep the order of the calls, whatever is ready first", async (t) => {
  const open: (() => void)[] = [];
  const { server } = await serve(t, {
    handler: () => new Promise((resolve) => open.push(() => resolve("OK"))),
  });
  const peer = await rawPeer(t, server.port);
  for (const body of ["a", "b", "c"]) peer.call(events(body));
  await waitFor("three calls in progress", () => open.length === 3);
  open[2]?.();
  open[1]?.();
  await settle(20);
  assert.equal(peer.replied.length, 0);
  open[0]?.();
  assert.deepEqual(await peer.replies(3), [
    [1, "OK"],
    [2, "OK"],
    [3, "OK"],
  ]);
});

test("at most requestsInFlight calls are started; then the socket is not read", async (t) => {
  const open: (() => void)[] = [];
  const { server } = await serve(t, {
    limits: { requestsInFlight: 2 },
    handler: () => new Promise((resolve) => open.push(() => resolve("OK"))),
  });
  const peer = await rawPeer(t, server.port);
  // Far more than socket buffers hold: most of it must wait with the sender.
  const large = EventBatch.fromEvents([{ body: Buffer.alloc(1024 * 1024) }]);
  for (let i = 0; i < 40; i++) peer.call(large);
  await waitFor("two calls in progress", () => open.length === 2);
  await settle(50);
  assert.equal(open.length, 2);
  assert.ok(peer.socket.writableLength > 10 * 1024 * 1024, `${peer.socket.writableLength} wait`);
  await assertServesBeside(server.port, open, 3);
  for (let done = 0; done < 41; done++) {
    await waitFor(`call ${done}`, () => open.length > done);
    open[done]?.();
  }
  const replies = await peer.replies(40);
  assert.deepEqual(
    replies,
    Array.from({ length: 40 }, (_, i) => [i + 1, "OK"]),
  );

  async function assertServesBeside(port: number, started: unknown[], count: number) {
    (await rawPeer(t, port)).call(events("x"));
    await waitFor("another connection's call", () => started.length === count);
  }
});

test("a peer that does not read its replies is not read either", async (t) => {
  let calls = 0;
  const { server } = await serve(t, {
    log: silentLog,
    handler: async () => {
      calls++;
      return "OK";
    },
  });
  const peer = await rawPeer(t, server.port);
  peer.socket.pause();
  // 18 MB of replies: several times what the sockets' own buffers hold.
  const name = "n".repeat(120);
  const call = Buffer.concat([Buffer.from([0x82, 0x21, 1, name.length]), Buffer.from(name)]);
  const framed = Buffer.concat([Buffer.from([0, 0, 0, call.length]), call]);
  const sent = 60_000;
  peer.socket.write(Buffer.concat(new Array<Buffer>(sent).fill(framed)));
  peer.call(events("last"));
  let before = -1;
  await waitFor("the server to stop reading", async () => {
    before = peer.socket.writableLength;
    await settle(50);
    return peer.socket.writableLength === before;
  });
  assert.ok(before > 0, "the sender is held back");
  assert.equal(calls, 0);
  peer.socket.resume();
  await waitFor("the server to go on", () => calls === 1);
});

test("a peer that ends its side after the call still gets the answer", async (t) => {
  let answer: (() => void) | undefined;
  const { server } = await serve(t, {
    handler: () => new Promise((resolve) => (answer = () => resolve("OK"))),
  });
  const peer = await rawPeer(t, server.port);
  peer.call(events("a"));
  peer.socket.end();
  await waitFor("the call", () => answer !== undefined);
  await settle(20);
  assert.ok(peer.isOpen());
  answer?.();
  assert.deepEqual(await peer.replies(1), [[1, "OK"]]);
  await peer.ended();
  await waitFor("no connection", () => server.connectionCount === 0);
});

test("nothing of a message is kept whose peer leaves in its middle", async (t) => {
  const { server, bodies, seen } = await serve(t);
  const peer = await rawPeer(t, server.port);
  const bytes = encodeCall("compact", 1, "appendBatch", events("a", "b"));
  peer.socket.end(bytes.subarray(0, bytes.length - 1));
  await peer.ended();
  await waitFor("no connection", () => server.connectionCount === 0);
  assert.deepEqual([bodies, seen.malformed], [[], []]);
});

test("stop answers what is in progress, starts nothing more, then closes", async (t) => {
  const open: (() => void)[] = [];
  const { server, seen } = await serve(t, {
    limits: { requestsInFlight: 2 },
    handler: () => new Promise((resolve) => open.push(() => resolve("OK"))),
  });
  const peer = await rawPeer(t, server.port);
  const idle = await rawPeer(t, server.port);
  for (const body of ["a", "b", "c"]) peer.call(events(body));
  await waitFor("two calls in progress", () => open.length === 2);
  let stopped = false;
  const stop = server.stop(never).then(() => (stopped = true));
  await idle.ended();
  idle.socket.end();
  assert.equal(stopped, false);
  open[1]?.();
  open[0]?.();
  assert.deepEqual(await peer.replies(2), [
    [1, "OK"],
    [2, "OK"],
  ]);
  await peer.ended();
  peer.socket.end();
  await within("stop", stop);
  assert.equal(open.length, 2);
  assert.deepEqual([server.connectionCount, seen.opened, seen.closed], [0, 2, 2]);
});

test("stop gives a handler up at its deadline", async (t) => {
  const { server } = await serve(t, { handler: () => new Promise(() => {}) });
  const peer = await rawPeer(t, server.port);
  peer.call(events("a"));
  const deadline = new AbortController();
  await waitFor("the connection", () => server.connectionCount === 1);
  const stop = server.stop(deadline.signal);
  deadline.abort();
  await within("stop", stop);
  await peer.ended();
  assert.equal(peer.replied.length, 0);
});

test("one byte a second does not hold a connection for ever", async (t) => {
  const clock = createFakeClock();
  const { server, seen, bodies } = await serve(t, { clock, limits: { messageTimeoutMs: 10_000 } });
  const peer = await rawPeer(t, server.port);
  const bytes = encodeCall("compact", 1, "appendBatch", events("a"));
  let sent = 0;
  while (peer.isOpen() && sent < bytes.length - 1) {
    peer.socket.write(bytes.subarray(sent, ++sent));
    await settle(20);
    await clock.advance(1000);
  }
  await peer.ended();
  assert.ok(sent >= 10, `closed after ${sent} bytes`);
  assert.equal(seen.malformed[0]?.code, "FRAME_MALFORMED");
  assert.deepEqual(bodies, []);
  await assertServes(server.port);
});

test("a silent connection is closed after the idle timeout, one with a call in progress is not", async (t) => {
  const clock = createFakeClock();
  const open: (() => void)[] = [];
  const { server, seen } = await serve(t, {
    clock,
    limits: { idleTimeoutMs: 8000, messageTimeoutMs: 60_000 },
    handler: () => new Promise((resolve) => open.push(() => resolve("OK"))),
  });
  const silent = await rawPeer(t, server.port);
  const busy = await rawPeer(t, server.port);
  busy.call(events("a"));
  await waitFor("the call", () => open.length === 1);
  await clock.advance(10_000);
  await silent.ended();
  assert.ok(busy.isOpen());
  open[0]?.();
  await busy.replies(1);
  await clock.advance(10_000);
  await busy.ended();
  assert.equal(seen.malformed.length, 0);
});

const head = "8221 05 0b 617070656e644261746368";
for (const { name, hex, says } of [
  { name: "no argument", hex: `${head} 00`, says: /no events/ },
  { name: "a list of strings", hex: `${head} 19 18 01 61 00`, says: /list of type 11/ },
  {
    name: "an event without headers",
    hex: `${head} 19 1c 28 01 61 00 00`,
    says: /without headers/,
  },
  {
    name: "an event without a body",
    hex: `${head} 19 1c 1b 01 88 016b 0176 00 00`,
    says: /without a body at byte 25/,
  },
  {
    name: "headers of numbers",
    hex: `${head} 19 1c 1b 01 58 02 0161 18 00 00 00`,
    says: /no strings/,
  },
  {
    name: "a list longer than the frame",
    hex: `${head} 19 fc ffffffff0f`,
    says: /cannot be there/,
  },
  {
    name: "a body longer than the frame",
    hex: `${head} 19 1c 1b 00 18 7f 61 00 00`,
    says: /length of 127/,
  },
  { name: "bytes behind the call", hex: `${head} 19 0c 00 00`, says: /behind the message's end/ },
  {
    name: "a oneway call",
    hex: `8281 05 0b 617070656e644261746368 19 0c 00`,
    says: /type 4 for a call/,
  },
]) {
  test(`${name} is answered PROTOCOL_ERROR and its connection closed; others go on`, async (t) => {
    const { server, seen, log, bodies } = await serve(t);
    const bystander = await rawPeer(t, server.port);
    bystander.call(events("before"));
    await bystander.replies(1);
    const peer = await rawPeer(t, server.port);
    peer.send(hex);
    peer.call(events("behind it"));
    const [[sequence, text] = []] = await peer.replies(1);
    assert.equal(sequence, 5);
    assert.match(String(text), /^7 CALL_MALFORMED: /);
    assert.match(String(text), says);
    await peer.ended();
    assert.deepEqual(
      seen.malformed.map(({ code }) => code),
      ["CALL_MALFORMED"],
    );
    assert.equal(log.lines.filter(({ level }) => level === "warn").length, 1);
    bystander.call(events("after"));
    await bystander.replies(1);
    assert.deepEqual(bodies, ["before", "after"]);
  });
}

for (const { name, protocol, hex, code, says } of [
  {
    name: "Thrift without frames",
    protocol: "binary",
    hex: "8001000100000006617070656e64",
    code: "FRAME_MALFORMED",
    says: /Thrift without frames/,
  },
  {
    name: "an HTTP GET",
    protocol: "compact",
    hex: Buffer.from("GET / HTTP/1.1\r\n\r\n").toString("hex"),
    code: "FRAME_MALFORMED",
    says: /speaks HTTP/,
  },
  {
    name: "a frame of no bytes",
    protocol: "compact",
    hex: "00000000",
    code: "FRAME_MALFORMED",
    says: /a frame of 0 bytes/,
  },
  {
    name: "a frame over maxFrameBytes",
    protocol: "compact",
    hex: "02000001",
    code: "FRAME_TOO_LARGE",
    says: /a frame of 33554433 bytes; maxFrameBytes is 33554432/,
  },
  {
    name: "the binary protocol at a compact source",
    protocol: "compact",
    hex: "0000000480010001",
    code: "CALL_MALFORMED",
    says: /not the compact protocol; it looks like the binary protocol/,
  },
  {
    name: "the compact protocol at a binary source",
    protocol: "binary",
    hex: "0000000482210106",
    code: "CALL_MALFORMED",
    says: /not the binary protocol; it looks like the compact protocol/,
  },
] as const) {
  test(`${name} closes its connection with ${code}, without an answer`, async (t) => {
    const { server, seen } = await serve(t, { protocol });
    const peer = await rawPeer(t, server.port, protocol);
    peer.socket.write(Buffer.from(hex, "hex"));
    await peer.ended();
    assert.equal(peer.replied.length, 0);
    assert.deepEqual(
      seen.malformed.map((error) => error.code),
      [code],
    );
    assert.match(seen.malformed[0]?.message ?? "", says);
    await assertServes(server.port, protocol);
  });
}

test("calls in progress are answered before a broken one behind them closes the connection", async (t) => {
  let answer: (() => void) | undefined;
  const { server } = await serve(t, {
    handler: () => new Promise((resolve) => (answer = () => resolve("OK"))),
  });
  const peer = await rawPeer(t, server.port);
  peer.call(events("a"));
  peer.send(`${head} 00`);
  await waitFor("the call", () => answer !== undefined);
  await settle(20);
  assert.equal(peer.replied.length, 0);
  answer?.();
  const [first, second] = await peer.replies(2);
  assert.deepEqual(first, [1, "OK"]);
  assert.match(String(second?.[1]), /^7 /);
  await peer.ended();
});
