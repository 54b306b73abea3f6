import { MillraceError } from "@millrace/core";
import { createSeededRandom, waitFor, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { test, type TestContext } from "node:test";
import { constants, createDeflate, createInflate, deflateSync } from "node:zlib";
import { createDeflateStream } from "./deflate-stream.ts";

async function socketPair(t: TestContext): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const arrived = once(server, "connection");
  const near = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const [far] = (await arrived) as [Socket];
  if (near.connecting) await once(near, "connect");
  server.close();
  for (const socket of [near, far]) {
    socket.on("error", () => {});
    t.after(() => socket.destroy());
  }
  return [near, far];
}

function gather(stream: Duplex): { text: () => string; ended: () => boolean } {
  const chunks: Buffer[] = [];
  let ended = false;
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("end", () => (ended = true));
  return { text: () => Buffer.concat(chunks).toString("latin1"), ended: () => ended };
}

test("each burst can be read at once, ends in 00 00 ff ff, and continues one zlib stream", async (t) => {
  const [near, far] = await socketPair(t);
  const stream = createDeflateStream(near, 6);
  const raw = gather(far);
  stream.cork();
  for (const word of ["one ", "two ", "three"]) stream.write(word);
  stream.uncork();
  await waitFor("the first burst", () => raw.text().endsWith("\0\0\xff\xff"));
  const first = raw.text();
  assert.equal(Buffer.from(first, "latin1").subarray(0, 2).toString("hex"), "789c");
  assert.equal(first.split("\0\0\xff\xff").length, 2, "one flush for the whole burst");
  stream.write("four");
  await waitFor("the second burst", () => raw.text().length > first.length);
  await waitFor("its end", () => raw.text().endsWith("\0\0\xff\xff"));
  const second = raw.text().slice(first.length);
  assert.notEqual(Buffer.from(second, "latin1").subarray(0, 2).toString("hex"), "789c");
  stream.end();
  await waitFor("the end", raw.ended);
  const inflate = createInflate();
  const inflated = gather(inflate as unknown as Duplex);
  inflate.end(Buffer.from(raw.text(), "latin1"));
  await waitFor("the trailer to be checked", inflated.ended);
  assert.equal(inflated.text(), "one two threefour");
});

test("what a peer flushes is read as it comes, up to its stream's end", async (t) => {
  const [near, far] = await socketPair(t);
  const read = gather(createDeflateStream(near, 6));
  const java = createDeflate();
  java.pipe(far);
  java.write("first frame");
  java.flush(constants.Z_SYNC_FLUSH);
  await waitFor("the first", () => read.text() === "first frame");
  java.write(" and another");
  java.flush(constants.Z_SYNC_FLUSH);
  await waitFor("the second", () => read.text() === "first frame and another");
  java.end();
  await waitFor("the end", read.ended);
});

test("a peer that ends without the zlib stream's end has ended, and what it sent is read", async (t) => {
  const [near, far] = await socketPair(t);
  const read = gather(createDeflateStream(near, 6));
  const whole = deflateSync("cut off", { finishFlush: constants.Z_SYNC_FLUSH });
  far.end(whole);
  await waitFor("the end", read.ended);
  assert.equal(read.text(), "cut off");
});

test("a reset is the end at once", async (t) => {
  const [near, far] = await socketPair(t);
  const stream = createDeflateStream(near, 6);
  stream.on("error", () => {});
  stream.resume();
  const closed = new Promise((resolve) => stream.once("close", resolve));
  far.resetAndDestroy();
  await within("the close", closed);
  assert.ok(near.destroyed);
});

test("of a stream that expands without end no more is inflated than is read", async (t) => {
  const [near, far] = await socketPair(t);
  const stream = createDeflateStream(near, 6);
  let inflated = 0;
  const bomb = deflateSync(Buffer.alloc(64 * 1024 * 1024), { finishFlush: constants.Z_SYNC_FLUSH });
  assert.ok(bomb.length < 128 * 1024, "about a thousandth");
  far.write(bomb);
  stream.on("data", (chunk: Buffer) => {
    inflated += chunk.length;
    stream.pause();
  });
  await waitFor("the first chunk", () => inflated > 0);
  // Whatever would be inflated without being asked for would show here and in the buffers.
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(inflated <= 64 * 1024, `${inflated} bytes were given`);
  assert.ok(stream.readableLength <= 256 * 1024, `${stream.readableLength} bytes wait`);
  assert.ok(process.memoryUsage().arrayBuffers - before < 8 * 1024 * 1024);
  stream.removeAllListeners("data");
  stream.on("data", (chunk: Buffer) => (inflated += chunk.length));
  stream.resume();
  await waitFor("all of it", () => inflated === 64 * 1024 * 1024);
});

test("a writer waits while its peer does not read", async (t) => {
  const [near, far] = await socketPair(t);
  const stream = createDeflateStream(near, 0);
  const chunk = Buffer.alloc(1024 * 1024, 7);
  let written = 0;
  far.pause();
  while (stream.write(chunk) && written < 64) written++;
  let drained = false;
  stream.once("drain", () => (drained = true));
  for (let i = 0; i < 64 && !drained; i++) {
    stream.write(chunk);
    written++;
  }
  assert.ok(stream.writableNeedDrain);
  far.resume();
  await waitFor("the drain", () => drained);
});

test("garbage at any place is FRAME_MALFORMED, or what was good before it; never a hang", async (t) => {
  const rounds = Number(process.env["SEEDS"] ?? 60);
  let broken = 0;
  for (let seed = 1; seed <= rounds; seed++) {
    const random = createSeededRandom(seed);
    const [near, far] = await socketPair(t);
    const stream = createDeflateStream(near, 6);
    let error: Error | undefined;
    let over = false;
    stream.on("error", (thrown) => (error = thrown));
    stream.on("end", () => (over = true));
    stream.on("close", () => (over = true));
    stream.resume();
    const bytes = deflateSync(Buffer.alloc(random.integer(5000), "abc"));
    for (let flips = random.integer(4); flips >= 0; flips--) {
      bytes[random.integer(bytes.length)] = random.integer(256);
    }
    far.end(bytes);
    await waitFor(`seed ${seed} to be over`, () => over);
    if (error !== undefined) {
      broken++;
      assert.ok(error instanceof MillraceError, String(error));
      assert.equal(error.code, "FRAME_MALFORMED");
      assert.match(error.message, /deflate stream is broken .*check that both sides have/);
    }
    near.destroy();
    far.destroy();
  }
  assert.ok(broken > rounds / 4, `only ${broken} of ${rounds} were broken`);
});
