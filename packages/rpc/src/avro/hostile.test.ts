import { EventBatch, type MillraceError, nodeFileSystem, systemClock } from "@millrace/core";
import {
  createCollectingLog,
  createFakeClock,
  createSeededRandom,
  type FakeClock,
  tempDirectory,
  testTls,
  waitFor,
  within,
  writeTestStores,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { constants, deflateSync } from "node:zlib";
import { connectStream } from "../tcp/connect.ts";
import { plainClient } from "../tcp/security.ts";
import type { EventServerOptions } from "../wire/event-server.ts";
import { encodeCall } from "./call.ts";
import { createAvroClient } from "./client.ts";
import { firstHandshake } from "./handshake.ts";
import { createAvroServer } from "./server.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const events = (...bodies: string[]): EventBatch =>
  EventBatch.fromEvents(bodies.map((body) => ({ body: Buffer.from(body) })));
const choice = {
  includeProtocols: [],
  excludeProtocols: [],
  includeCipherSuites: [],
  excludeCipherSuites: [],
};
type Layers = "plain" | "deflate" | "tls" | "both";

/** A server, and a client of the right kind that was there before and must be served throughout. */
async function setUp(
  t: TestContext,
  layers: Layers,
  options: Partial<EventServerOptions> = {},
  clock: FakeClock = createFakeClock(systemClock.now()),
) {
  const files = await writeTestStores(await tempDirectory(t));
  const compression = layers === "deflate" || layers === "both" ? "deflate" : "none";
  const secure = layers === "tls" || layers === "both";
  const { password } = files;
  const log = createCollectingLog();
  const failures: string[] = [];
  const malformed: MillraceError[] = [];
  let refused = 0;
  let accepted = 0;
  const server = createAvroServer({
    ...{ host: "127.0.0.1", port: 0, clock, log },
    handler: (batch) => {
      accepted += batch.length;
      return Promise.resolve("OK");
    },
    transport: {
      compression,
      ...(secure && {
        tls: { ...choice, clientAuth: "none", keystore: { path: files.server.p12, type: "PKCS12", password } }, // prettier-ignore
      }),
    },
    observer: {
      tlsFailed: (reason) => failures.push(reason),
      requestMalformed: (error) => malformed.push(error),
      connectionRefused: () => refused++,
    },
    ...options,
  });
  await server.start(never);
  t.after(() => server.stop(now));
  const client = createAvroClient({
    ...{ host: "127.0.0.1", port: server.port, connectTimeoutMs: 5000, requestTimeoutMs: 5000 },
    ...{ maxFrameBytes: 1 << 20, clock: systemClock, log: createCollectingLog() },
    transport: {
      ...plainClient,
      compression,
      ...(secure && {
        tls: { ...choice, trustAll: false, verifyHostName: true, truststore: { path: files.trust.pem, type: "PEM" } }, // prettier-ignore
      }),
    },
  });
  await client.connect();
  t.after(() => client.close());
  /** The bystander is served now. */
  const served = async (): Promise<void> => {
    const before = accepted;
    await within("the bystander's call", client.appendBatch(events("x")));
    assert.ok(accepted > before);
  };
  await served();
  const { port } = server;
  return { server, port, clock, log, failures, malformed, client, served, refused: () => refused };
}

async function rawSocket(t: TestContext, port: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.on("error", () => {});
  t.after(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}

/** Moves the server's clock until its sweep has closed the socket. */
async function closedWithin(clock: FakeClock, ms: number, ...sockets: Socket[]): Promise<void> {
  let closed = 0;
  for (const socket of sockets) {
    socket.resume();
    socket.once("close", () => closed++);
  }
  for (let elapsed = 0; elapsed < ms; elapsed += 1000) await clock.advance(1000);
  await waitFor(`all ${sockets.length} to be closed`, () => closed === sockets.length);
}

const clientHello = Buffer.from("16030102000100", "hex");

for (const [layers, first, counted] of [
  ["tls", clientHello, "timeout"],
  ["both", clientHello, "timeout"],
  ["both", deflateSync(clientHello, { finishFlush: constants.Z_SYNC_FLUSH }), "timeout"],
  ["tls", Buffer.alloc(0), "timeout"],
  ["deflate", Buffer.from("789c", "hex"), "malformed"],
] as const) {
  test(`clients that begin with ${first.toString("hex") || "nothing"} and stall over ${layers} are closed in time, and others served`, async (t) => {
    const { port, clock, served, failures, malformed, server } = await setUp(t, layers);
    const sockets: Socket[] = [];
    for (let i = 0; i < 60; i++) sockets.push(await rawSocket(t, port));
    for (const socket of sockets) if (first.length > 0) socket.write(first);
    await waitFor("all to be there", () => server.connectionCount === 61);
    await served();
    await closedWithin(clock, 120_000, ...sockets);
    await served();
    if (counted === "malformed") assert.equal(malformed.length, 60);
    else assert.deepEqual(failures, new Array(60).fill("timeout"));
    assert.equal(server.connectionCount, 1);
    const last = await rawSocket(t, port);
    last.write(first);
    await waitFor("the last", () => server.connectionCount === 2);
    await within("stopping", server.stop(never));
  });
}

for (const layers of ["plain", "deflate", "tls"] as const) {
  test(`a client that sends a byte a second over ${layers} is cut, and others are served`, async (t) => {
    const { port, clock, served, server } = await setUp(t, layers);
    let slow: Socket | TLSSocket = await rawSocket(t, port);
    let bytes = Buffer.concat(encodeCall(1, firstHandshake, "append", events("slow")));
    if (layers === "deflate") bytes = deflateSync(bytes, { finishFlush: constants.Z_SYNC_FLUSH });
    if (layers === "tls") {
      slow = connectTls({ socket: slow, rejectUnauthorized: false });
      slow.on("error", () => {});
      await once(slow, "secureConnect");
    }
    let closed = false;
    slow.once("close", () => (closed = true));
    slow.resume();
    let sent = 0;
    for (let second = 0; second < 200 && !closed; second++) {
      // The last bytes are kept back: the message is never whole.
      if (sent < bytes.length - 20) slow.write(bytes.subarray(sent, ++sent));
      await clock.advance(1000);
      if (second % 20 === 0) await served();
    }
    await waitFor("the slow one to be closed", () => closed);
    assert.ok(sent >= 8, `it was cut after ${sent} bytes`);
    await served();
    assert.equal(server.connectionCount, 1);
  });
}

for (const layers of ["plain", "deflate", "tls", "both"] as const) {
  test(`a client that never reads its answers over ${layers} holds a few requests, and others are served`, async (t) => {
    const { port, served } = await setUp(t, layers, {
      limits: { requestsInFlight: 4, maxFrameBytes: 1 << 20 },
    });
    const stream = await connectStream({
      ...{ host: "127.0.0.1", port, connectTimeoutMs: 5000, clock: systemClock, giveUp: never },
      log: createCollectingLog(),
      transport: {
        ...plainClient,
        compression: layers === "deflate" || layers === "both" ? "deflate" : "none",
        ...((layers === "tls" || layers === "both") && {
          tls: { ...choice, trustAll: true, verifyHostName: false },
        }),
      },
    });
    stream.on("error", () => {});
    t.after(() => stream.destroy());
    // Nobody reads the stream: its answers fill what lies between, and then it must wait.
    const opening = encodeCall(1, firstHandshake, "append", events("a"));
    for (const buffer of opening) stream.write(buffer);
    let serial = 1;
    for (let waits = false; serial < 20_000 && !waits;) {
      stream.cork();
      for (let i = 0; i < 500; i++) {
        for (const buffer of encodeCall(++serial, undefined, "append", events("a"))) stream.write(buffer); // prettier-ignore
      }
      stream.uncork();
      await served();
      await waitFor("room", () => !stream.writableNeedDrain, 300).catch(() => {
        waits = true;
      });
    }
    assert.ok(serial > 1000, `${serial} requests were sent`);
    await served();
  });
}

test("clients without end are refused over the limit, and those who are in go on", async (t) => {
  const { port, served, refused, server } = await setUp(t, "plain", {
    limits: { maxConnections: 200 },
  });
  let closed = 0;
  let opened = 0;
  for (let round = 0; round < 20; round++) {
    const sockets: Socket[] = [];
    for (let i = 0; i < 100; i++) {
      const socket = connect({ port, host: "127.0.0.1" });
      socket.on("error", () => {});
      socket.on("close", () => closed++);
      socket.resume();
      sockets.push(socket);
      t.after(() => socket.destroy());
    }
    await Promise.all(sockets.map((socket) => once(socket, "connect").catch(() => {})));
    opened += sockets.length;
    await served();
  }
  assert.equal(opened, 2000);
  await waitFor("the others to be refused", () => refused() >= 1801 && closed >= 1801);
  assert.equal(server.connectionCount, 200);
  await served();
});

test("zlib garbage closes its own connection, and is counted", async (t) => {
  const { port, served, malformed } = await setUp(t, "deflate");
  const socket = await rawSocket(t, port);
  const closed = once(socket, "close");
  socket.resume();
  socket.write(Buffer.from("789c0badc0ffee0badc0ffee", "hex"));
  await within("the close", closed);
  await waitFor("the count", () => malformed.length === 1);
  assert.equal(malformed[0]?.code, "FRAME_MALFORMED");
  assert.match(malformed[0]?.message ?? "", /deflate stream is broken/);
  await served();
});

test("zlib garbage while a handshake waits for its turn closes its own connection, and is counted", async (t) => {
  let held: (() => void) | undefined;
  let holding = false;
  const files = {
    ...nodeFileSystem,
    async stat(path: string) {
      if (holding) await new Promise<void>((resolve) => (held = resolve));
      return nodeFileSystem.stat(path);
    },
  };
  const { port, clock, served, malformed } = await setUp(t, "both", { files });
  await clock.advance(5000);
  holding = true;
  const socket = await rawSocket(t, port);
  const closed = once(socket, "close");
  socket.resume();
  socket.write(deflateSync(clientHello, { finishFlush: constants.Z_SYNC_FLUSH }));
  await waitFor("its turn", () => held !== undefined);
  socket.write(Buffer.alloc(50, 0xff));
  await within("the close", closed);
  holding = false;
  held?.();
  await waitFor("the count", () => malformed.length === 1);
  assert.match(malformed[0]?.message ?? "", /deflate stream is broken/);
  await served();
});

test("garbage instead of a TLS handshake closes its own connection, and is counted", async (t) => {
  const { port, served, failures } = await setUp(t, "tls");
  const random = createSeededRandom(Number(process.env["SEED"] ?? 7));
  const rounds = Number(process.env["SEEDS"] ?? 30);
  for (let i = 0; i < rounds; i++) {
    const socket = await rawSocket(t, port);
    const closed = once(socket, "close");
    socket.resume();
    const length = random.integer(200);
    const record = Buffer.concat([
      Buffer.from([0x16, 3, random.integer(5), length >> 8, length & 0xff]),
      random.bytes(length + random.integer(50)),
    ]);
    socket.end(record);
    await within(`the close of ${record.toString("hex")}`, closed);
  }
  await waitFor("all counts", () => failures.length === rounds);
  assert.ok(failures.every((reason) => reason !== "timeout"));
  await served();
});

test("a zip bomb is inflated no further than its frame may be long, and others are served", async (t) => {
  const { port, served, malformed, clock } = await setUp(t, "deflate", {
    limits: { maxFrameBytes: 1 << 20 },
  });
  const bombOf = (length: number, says: number): Buffer => {
    const frame = Buffer.alloc(length);
    frame.writeUInt32BE(1, 0);
    frame.writeUInt32BE(1, 4);
    frame.writeUInt32BE(says, 8);
    const bomb = deflateSync(frame, { finishFlush: constants.Z_SYNC_FLUSH });
    assert.ok(bomb.length < length / 500);
    return bomb;
  };
  const tooLarge = await rawSocket(t, port);
  tooLarge.write(bombOf(64 << 20, 1 << 30));
  await served();
  await waitFor("its refusal", () => malformed.length === 1);
  assert.equal(malformed[0]?.code, "FRAME_TOO_LARGE");
  await closedWithin(clock, 2000, tooLarge);

  // A frame just under the limit, and behind it what says it is as long again without an end.
  const within = await rawSocket(t, port);
  within.write(bombOf(32 << 20, 1 << 19));
  await served();
  await waitFor("its refusal too", () => malformed.length === 2);
  await closedWithin(clock, 2000, within);
  await served();
});

test("400 clients that come at once over TLS are all served, and one who is in is served between them", async (t) => {
  const { port, served, server } = await setUp(t, "tls", {}, { ...systemClock } as FakeClock);
  const { authority } = testTls();
  let connected = 0;
  let between = 0;
  const herd = Array.from({ length: 400 }, () => {
    const socket = connectTls({ port, host: "127.0.0.1", ca: authority.certificatePem });
    socket.on("error", () => {});
    t.after(() => socket.destroy());
    return once(socket, "secureConnect").then(() => connected++);
  });
  const all = Promise.all(herd);
  while (connected < 400) {
    const before = connected;
    await served();
    if (before > 0 && before < 400) between++;
  }
  await within("the herd", all);
  assert.equal(server.connectionCount, 401);
  assert.ok(between >= 10, `the bystander was answered ${between} times between them`);
});
