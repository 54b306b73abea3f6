import { EventBatch, type MillraceError, silentLog, systemClock } from "@millrace/core";
import { createCollectingLog, createFakeClock, settle, waitFor, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { Duplex } from "node:stream";
import { test, type TestContext } from "node:test";
import { type AvroStatus, decodeReply, encodeCall, type Reply } from "./call.ts";
import { createAvroClient } from "./client.ts";
import { encodeMessage, FrameDecoder, type Message } from "./frame.ts";
import { ClientRegistry, decodeHandshakeResponse, firstHandshake } from "./handshake.ts";
import type { EventServerOptions } from "../wire/event-server.ts";
import { RequestConnection, sharedBy } from "../wire/request-connection.ts";
import { createAvroServer } from "./server.ts";
import { AvroServerSession } from "./server-session.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const events = (...bodies: string[]): EventBatch =>
  EventBatch.fromEvents(bodies.map((body) => ({ body: Buffer.from(body) })));

async function serve(test: TestContext, options: Partial<EventServerOptions> = {}) {
  const seen = { opened: 0, closed: 0, refused: 0, malformed: [] as MillraceError[] };
  const log = createCollectingLog();
  const bodies: string[] = [];
  const server = createAvroServer({
    host: "127.0.0.1",
    port: 0,
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
async function rawPeer(test: TestContext, port: number) {
  const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true });
  await once(socket, "connect");
  test.after(() => socket.destroy());
  const decoder = new FrameDecoder(1 << 24);
  const messages: Message[] = [];
  let ended = false;
  socket.on("data", (chunk) => {
    decoder.push(chunk);
    for (let m = decoder.next(); m !== undefined; m = decoder.next()) messages.push(m);
  });
  socket.on("error", () => {});
  socket.on("close", () => (ended = true));
  socket.on("end", () => (ended = true));
  let serial = 0;
  let greeted = false;
  const peer = {
    socket,
    messages,
    ended: () => waitFor("the server to close", () => ended),
    isOpen: () => !ended,
    /** Sends a call; the first carries the handshake. */
    call(batch: EventBatch, name: "append" | "appendBatch" = "appendBatch"): number {
      const opening = serial === 0 ? firstHandshake : undefined;
      for (const buffer of encodeCall(++serial, opening, name, batch)) socket.write(buffer);
      return serial;
    },
    async replies(count: number): Promise<(Reply & { serial: number })[]> {
      await waitFor(`${count} replies, have ${messages.length}`, () => messages.length >= count);
      return messages.splice(0, count).map((message) => {
        const cursor = { at: 0 };
        if (!greeted) decodeHandshakeResponse(message.bytes, cursor);
        greeted = true;
        return { serial: message.serial, ...decodeReply(message.bytes, cursor) };
      });
    },
  };
  return peer;
}

async function assertServes(port: number): Promise<void> {
  const client = createAvroClient({
    host: "127.0.0.1",
    port,
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

function statuses(
  replies: readonly (Reply & { serial: number })[],
): [number, AvroStatus | "error"][] {
  return replies.map((r) => [r.serial, r.kind === "status" ? r.status : "error"]);
}

test("a client that resets its connection before it has said anything is not malformed, and no line", async (t) => {
  const { server, seen, log } = await serve(t);
  const peer = await rawPeer(t, server.port);
  await waitFor("the server to have it", () => seen.opened === 1);
  peer.socket.resetAndDestroy();
  await waitFor("the server to have let go of it", () => seen.closed === 1);
  assert.deepEqual([seen.malformed, log.lines], [[], []]);
  await assertServes(server.port);
});

test("the server processes a call, then answers OK on the same connection", async (t) => {
  const { server, bodies, seen } = await serve(t);
  const peer = await rawPeer(t, server.port);
  peer.call(events("a"), "append");
  peer.call(events("b", "c"));
  assert.deepEqual(statuses(await peer.replies(2)), [
    [1, "OK"],
    [2, "OK"],
  ]);
  assert.deepEqual(bodies, ["a", "b", "c"]);
  assert.equal(server.connectionCount, 1);
  assert.equal(seen.opened, 1);
});

test("FAILED leaves the connection open, and the next call is served", async (t) => {
  const answers = ["FAILED", "OK"] as const;
  let calls = 0;
  const { server } = await serve(t, { handler: async () => answers[calls++] ?? "OK" });
  const peer = await rawPeer(t, server.port);
  peer.call(events("a"));
  peer.call(events("b"));
  assert.deepEqual(statuses(await peer.replies(2)), [
    [1, "FAILED"],
    [2, "OK"],
  ]);
});

test("a handler that throws is a system error for append, FAILED for appendBatch, as in Java", async (t) => {
  const { server, log } = await serve(t, {
    handler: () => {
      throw new TypeError("a mistake of ours");
    },
  });
  const peer = await rawPeer(t, server.port);
  peer.call(events("a"), "append");
  peer.call(events("b"));
  const [append, batch] = await peer.replies(2);
  assert.ok(append?.kind === "error" && append.text === "UNEXPECTED: a mistake of ours");
  assert.ok(batch?.kind === "status" && batch.status === "FAILED");
  assert.equal(log.lines.filter(({ level }) => level === "error").length, 2);
});

test("replies may overtake each other; each repeats its serial", async (t) => {
  const open: (() => void)[] = [];
  const started: string[] = [];
  const { server } = await serve(t, {
    handler: (batch) => {
      started.push(batch.at(0).body.toString());
      return new Promise((resolve) => open.push(() => resolve("OK")));
    },
  });
  const peer = await rawPeer(t, server.port);
  for (const body of ["a", "b", "c"]) peer.call(events(body));
  await waitFor("three calls in progress", () => open.length === 3);
  assert.deepEqual(started, ["a", "b", "c"]);
  open[2]?.();
  await waitFor("a reply", () => peer.messages.length === 1);
  // The handshake is in the first call's reply, wherever that comes.
  assert.equal(peer.messages[0]?.serial, 3);
  assert.equal(peer.messages[0]?.bytes.length, 3);
  open[0]?.();
  open[1]?.();
  await waitFor("the others", () => peer.messages.length === 3);
  assert.deepEqual(
    peer.messages.map(({ serial }) => serial),
    [3, 1, 2],
  );
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
  const other = await rawPeer(t, server.port);
  other.call(events("x"));
  await waitFor("another connection's call", () => open.length === 3);
  for (let done = 0; done < 41; done++) {
    await waitFor(`call ${done}`, () => open.length > done);
    open[done]?.();
  }
  const replies = await peer.replies(40);
  assert.deepEqual(
    statuses(replies)
      .map(([serial]) => serial)
      .sort((a, b) => a - b),
    Array.from({ length: 40 }, (_, i) => i + 1),
  );
});

test("small calls that came in one chunk wait for the window too", async (t) => {
  const open: (() => void)[] = [];
  let most = 0;
  let running = 0;
  const { server } = await serve(t, {
    limits: { requestsInFlight: 3 },
    handler: () => {
      most = Math.max(most, ++running);
      return new Promise((resolve) =>
        open.push(() => {
          running--;
          resolve("OK");
        }),
      );
    },
  });
  const peer = await rawPeer(t, server.port);
  peer.socket.cork();
  for (let i = 0; i < 20; i++) peer.call(events(String(i)));
  peer.socket.uncork();
  for (let done = 0; done < 20; done++) {
    await waitFor(`call ${done}`, () => open.length > done);
    open[done]?.();
  }
  await peer.replies(20);
  assert.equal(most, 3);
});

test("a peer that does not read its replies is not read either", async (t) => {
  let calls = 0;
  const { server } = await serve(t, {
    log: silentLog,
    handler: () => {
      calls++;
      throw new Error("x".repeat(1000));
    },
  });
  const peer = await rawPeer(t, server.port);
  peer.socket.pause();
  peer.call(events("first"), "append");
  // 60 MB of replies: several times what the sockets' own buffers hold.
  const [call] = encodeCall(2, undefined, "append", events("a"));
  const sent = 60_000;
  peer.socket.write(Buffer.concat(new Array<Buffer>(sent).fill(call as Buffer)));
  let before = -1;
  await waitFor("the server to stop reading", async () => {
    before = calls;
    await settle(50);
    return calls > 1 && calls === before;
  });
  assert.ok(calls < sent / 2, `${calls} of ${sent} calls were taken`);
  peer.socket.resume();
  await waitFor("the server to go on", () => calls > before);
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
  assert.deepEqual(statuses(await peer.replies(1)), [[1, "OK"]]);
  await peer.ended();
  await waitFor("no connection", () => server.connectionCount === 0);
});

test("nothing of a message is kept whose peer leaves in its middle", async (t) => {
  const { server, bodies, seen } = await serve(t);
  const peer = await rawPeer(t, server.port);
  const bytes = Buffer.concat(encodeCall(1, firstHandshake, "appendBatch", events("a", "b")));
  peer.socket.end(bytes.subarray(0, bytes.length - 1));
  await peer.ended();
  await waitFor("no connection", () => server.connectionCount === 0);
  assert.deepEqual([bodies, seen.malformed], [[], []]);
});

test("calls of a connection that is gone are not started any more", async (t) => {
  const open: (() => void)[] = [];
  const { server } = await serve(t, {
    limits: { requestsInFlight: 1 },
    handler: () => new Promise((resolve) => open.push(() => resolve("OK"))),
  });
  const peer = await rawPeer(t, server.port);
  peer.socket.cork();
  for (const body of ["a", "b", "c", "d"]) peer.call(events(body));
  peer.socket.uncork();
  await waitFor("the first call", () => open.length === 1);
  peer.socket.resetAndDestroy();
  // The window being full, the server finds out when it answers.
  for (let done = 0; server.connectionCount > 0 && done < 3; done++) {
    open[done]?.();
    await settle(20);
  }
  assert.equal(server.connectionCount, 0);
  const started = open.length;
  assert.ok(started < 4, `${started} calls were started`);
  open.at(-1)?.();
  await settle(20);
  assert.equal(open.length, started);
});

test("a peer that is still sending when the server stops gets its answer and a clean end", async (t) => {
  const open: (() => void)[] = [];
  const { server } = await serve(t, {
    clock: createFakeClock(),
    limits: { requestsInFlight: 1 },
    handler: () => new Promise((resolve) => open.push(() => resolve("OK"))),
  });
  const peer = await rawPeer(t, server.port);
  const errors: Error[] = [];
  peer.socket.on("error", (error) => errors.push(error));
  peer.call(events("a"));
  const large = EventBatch.fromEvents([{ body: Buffer.alloc(1024 * 1024) }]);
  for (let i = 0; i < 20; i++) peer.call(large);
  await waitFor("the first call", () => open.length === 1);
  const stop = server.stop(never);
  open[0]?.();
  assert.deepEqual(statuses(await peer.replies(1)), [[1, "OK"]]);
  await peer.ended();
  peer.socket.end();
  await within("stop", stop);
  assert.deepEqual([errors, open.length], [[], 1]);
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
  const { port } = server;
  let stopped = false;
  const stop = server.stop(never).then(() => (stopped = true));
  await idle.ended();
  idle.socket.end();
  await assert.rejects(once(connect(port, "127.0.0.1"), "connect"), { code: "ECONNREFUSED" });
  assert.equal(stopped, false);
  open[0]?.();
  open[1]?.();
  assert.deepEqual(statuses(await peer.replies(2)), [
    [1, "OK"],
    [2, "OK"],
  ]);
  await peer.ended();
  peer.socket.end();
  await within("stop", stop);
  assert.equal(open.length, 2);
  assert.deepEqual([server.connectionCount, seen.opened, seen.closed], [0, 2, 2]);
  await server.stop(never);
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
  assert.equal(peer.messages.length, 0);
});

test("stop without start does nothing, and a server can start again after stop", async (t) => {
  const { server } = await serve(t);
  await server.stop(never);
  await server.start(never);
  await assertServes(server.port);
  await createAvroServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log: createCollectingLog(),
    handler: async () => "OK",
  }).stop(never);
});

test("a peer that ends its side and does not read its reply is cut", async () => {
  const clock = createFakeClock();
  let calls = 0;
  const handler = (): Promise<"OK"> => {
    calls++;
    return Promise.resolve("OK");
  };
  const shared = sharedBy({ host: "", port: 0, clock, log: silentLog, handler });
  // Nothing that is written gets away.
  const stream = new Duplex({ allowHalfOpen: true, read: () => {}, write: () => {} });
  const session = new AvroServerSession(new ClientRegistry());
  const connection = new RequestConnection(stream, "peer", session, shared);
  for (const buffer of encodeCall(1, firstHandshake, "append", events("a"))) stream.push(buffer);
  stream.push(null);
  await waitFor("the reply", () => calls === 1 && stream.writableLength > 0);
  await waitFor("the end", () => stream.writableEnded);
  assert.equal(stream.destroyed, false);
  await clock.advance(1000);
  assert.equal(stream.destroyed, true);
  connection.destroy();
});

test("one byte a second does not hold a connection for ever", async (t) => {
  const clock = createFakeClock();
  const { server, seen, bodies } = await serve(t, { clock, limits: { messageTimeoutMs: 10_000 } });
  const peer = await rawPeer(t, server.port);
  const bytes = Buffer.concat(encodeCall(1, firstHandshake, "appendBatch", events("a")));
  let sent = 0;
  while (peer.isOpen() && sent < bytes.length - 1) {
    peer.socket.write(bytes.subarray(sent, ++sent));
    await settle(20);
    await clock.advance(1000);
  }
  await peer.ended();
  assert.ok(sent >= 10, `closed after ${sent} bytes`);
  assert.equal(seen.malformed[0]?.code, "FRAME_MALFORMED");
  assert.match(seen.malformed[0]?.message ?? "", /no whole message came within 10000 ms/);
  assert.deepEqual(bodies, []);
  await assertServes(server.port);
});

test("time in which the server does not read is not held against the peer", async (t) => {
  const clock = createFakeClock();
  const open: (() => void)[] = [];
  const { server } = await serve(t, {
    clock,
    limits: { requestsInFlight: 1, messageTimeoutMs: 10_000 },
    handler: () => new Promise((resolve) => open.push(() => resolve("OK"))),
  });
  const peer = await rawPeer(t, server.port);
  const [second] = encodeCall(2, undefined, "appendBatch", events("b"));
  peer.socket.cork();
  peer.call(events("a"));
  peer.socket.write((second as Buffer).subarray(0, 20));
  peer.socket.uncork();
  await waitFor("the first call", () => open.length === 1);
  for (let i = 0; i < 6; i++) await clock.advance(5000);
  assert.ok(peer.isOpen());
  open[0]?.();
  await peer.replies(1);
  await clock.advance(5000);
  peer.socket.write((second as Buffer).subarray(20));
  await waitFor("the second call", () => open.length === 2);
  open[1]?.();
  assert.deepEqual(statuses(await peer.replies(1)), [[2, "OK"]]);
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
  await clock.advance(7000);
  assert.ok(silent.isOpen());
  await clock.advance(3000);
  await silent.ended();
  assert.ok(busy.isOpen());
  open[0]?.();
  await busy.replies(1);
  await clock.advance(10_000);
  await busy.ended();
  assert.equal(seen.malformed.length, 0);
});

test("with idleTimeoutMs 0 a silent connection stays", async (t) => {
  const clock = createFakeClock();
  const { server } = await serve(t, { clock, limits: { idleTimeoutMs: 0 } });
  const silent = await rawPeer(t, server.port);
  await waitFor("the connection", () => server.connectionCount === 1);
  await clock.advance(1_000_000);
  assert.ok(silent.isOpen());
  assert.equal(server.connectionCount, 1);
});

test("connections past maxConnections are closed at once, and counted, and one fewer lets one in", async (t) => {
  const { server, seen, log } = await serve(t, { limits: { maxConnections: 2 } });
  const first = await rawPeer(t, server.port);
  await rawPeer(t, server.port);
  await waitFor("two connections", () => server.connectionCount === 2);
  for (let i = 0; i < 3; i++) await (await rawPeer(t, server.port)).ended();
  assert.equal(seen.refused, 3);
  assert.equal(log.lines.filter(({ message }) => /^refusing/.test(message)).length, 1);
  first.socket.destroy();
  await waitFor("one connection", () => server.connectionCount === 1);
  await assertServes(server.port);
});

test("every call that cannot be read is counted, the first of a connection is logged", async (t) => {
  const { server, seen, log } = await serve(t);
  const peer = await rawPeer(t, server.port);
  peer.call(events("a"));
  await peer.replies(1);
  for (const serial of [2, 3]) {
    peer.socket.write(encodeMessage(serial, [Buffer.from("00086e6f7065", "hex")]));
  }
  assert.deepEqual(statuses(await peer.replies(2)), [
    [2, "error"],
    [3, "error"],
  ]);
  assert.deepEqual(
    seen.malformed.map(({ code }) => code),
    ["CALL_MALFORMED", "CALL_MALFORMED"],
  );
  assert.equal(log.lines.filter(({ level }) => level === "warn").length, 1);
});

const hostile = [
  { name: "a huge buffer count", bytes: "00000001 7fffffff" },
  { name: "a buffer count of zero", bytes: "00000001 00000000 00000002" },
  { name: "a negative length", bytes: "00000001 00000001 ffffff00" },
  { name: "an HTTP GET", bytes: Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n").toString("hex") },
  { name: "zero-length buffers only", bytes: "00000001 00000003 00000000 00000000 00000000" },
  { name: "a handshake of rubbish", bytes: "00000001 00000001 00000004 deadbeef" },
];
for (const { name, bytes } of hostile) {
  test(`${name} closes its own connection with FRAME_MALFORMED, logged once with the address`, async (t) => {
    const { server, seen, log, bodies } = await serve(t);
    const bystander = await rawPeer(t, server.port);
    bystander.call(events("before"));
    await bystander.replies(1);
    const peer = await rawPeer(t, server.port);
    peer.socket.write(Buffer.from(bytes.replaceAll(" ", ""), "hex"));
    await peer.ended();
    assert.equal(peer.messages.length, 0, "it is answered nothing");
    assert.deepEqual(
      seen.malformed.map(({ code }) => code),
      ["FRAME_MALFORMED"],
    );
    const warnings = log.lines.filter(({ level }) => level === "warn");
    assert.equal(warnings.length, 1);
    assert.match(String(warnings[0]?.detail["peer"]), /^127\.0\.0\.1:\d+$/);
    bystander.call(events("after"));
    assert.deepEqual(statuses(await bystander.replies(1)), [[2, "OK"]]);
    await assertServes(server.port);
    assert.deepEqual(bodies, ["before", "after", "good"]);
  });
}

test("calls in progress are answered before a broken frame behind them closes the connection", async (t) => {
  let answer: (() => void) | undefined;
  const { server } = await serve(t, {
    handler: () => new Promise((resolve) => (answer = () => resolve("OK"))),
  });
  const peer = await rawPeer(t, server.port);
  peer.call(events("a"));
  peer.socket.write(Buffer.from("00000002ffffffff", "hex"));
  await waitFor("the call", () => answer !== undefined);
  await settle(20);
  answer?.();
  assert.deepEqual(statuses(await peer.replies(1)), [[1, "OK"]]);
  await peer.ended();
});

test("a message over maxFrameBytes is answered FRAME_TOO_LARGE with the numbers, then closed", async (t) => {
  const { server, seen, bodies } = await serve(t, { limits: { maxFrameBytes: 100_000 } });
  const large = EventBatch.fromEvents([{ body: Buffer.alloc(200_000) }]);
  const first = await rawPeer(t, server.port);
  first.call(large);
  const later = await rawPeer(t, server.port);
  later.call(events("a"));
  await later.replies(1);
  later.call(large);
  for (const peer of [first, later]) {
    const [reply] = await peer.replies(1);
    assert.ok(reply?.kind === "error");
    assert.match(
      reply.text,
      /^FRAME_TOO_LARGE: a message of at least 200\d+ bytes; maxFrameBytes is 100000$/,
    );
    await peer.ended();
  }
  assert.deepEqual(
    seen.malformed.map(({ code }) => code),
    ["FRAME_TOO_LARGE", "FRAME_TOO_LARGE"],
  );
  assert.deepEqual(bodies, ["a"]);
  await assertServes(server.port);
});

test("a header map that never ends is stopped at maxFrameBytes", async (t) => {
  const { server, seen } = await serve(t, { limits: { maxFrameBytes: 100_000 } });
  const peer = await rawPeer(t, server.port);
  peer.call(events("a"));
  await peer.replies(1);
  // One message of 1,023 buffers of 256 bytes, all of them map blocks of one empty entry.
  peer.socket.write(Buffer.from("00000002000003ff", "hex"));
  const block = Buffer.concat([
    Buffer.from([0, 0, 1, 0]),
    Buffer.alloc(256, Buffer.from("020000", "hex")),
  ]);
  while (peer.isOpen() && !peer.socket.destroyed) {
    peer.socket.write(block);
    await settle(1);
  }
  assert.deepEqual(
    seen.malformed.map(({ code }) => code),
    ["FRAME_TOO_LARGE"],
  );
  await assertServes(server.port);
});
