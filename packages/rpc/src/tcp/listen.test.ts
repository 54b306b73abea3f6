import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { test } from "node:test";
import { listen, listenError } from "./listen.ts";

const never = new AbortController().signal;

test("port 0 is the port the system chose", async (t) => {
  const server = createServer();
  t.after(() => server.close());
  assert.ok((await listen(server, "127.0.0.1", 0, never)) > 0);
  assert.equal(server.listenerCount("error"), 0);
});

test("a port in use is PORT_IN_USE with host and port (T068)", async (t) => {
  const taken = createServer();
  t.after(() => taken.close());
  const port = await listen(taken, "127.0.0.1", 0, never);
  await assert.rejects(listen(createServer(), "127.0.0.1", port, never), {
    code: "PORT_IN_USE",
    message: new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port}: .*choose another port`),
  });
});

test("an address that is not this machine's is LISTEN_FAILED (T069)", async () => {
  await assert.rejects(listen(createServer(), "192.0.2.1", 0, never), {
    code: "LISTEN_FAILED",
    message: /192\.0\.2\.1:0: EADDRNOTAVAIL; bind must be/,
  });
});

test("a port this user may not have is PERMISSION_DENIED", () => {
  const error = Object.assign(new Error("listen EACCES"), { code: "EACCES" });
  const denied = listenError(error, "0.0.0.0", 80);
  assert.equal(denied.code, "PERMISSION_DENIED");
  assert.match(denied.message, /0\.0\.0\.0:80: this user may not use that port/);
});

test("an abort gives up listening: START_ABORTED, and nothing listens", async () => {
  await assert.rejects(listen(createServer(), "127.0.0.1", 0, AbortSignal.abort()), {
    code: "START_ABORTED",
  });
  const aborting = new AbortController();
  const server = createServer();
  const closed = once(server, "close");
  const listening = listen(server, "127.0.0.1", 0, aborting.signal);
  aborting.abort();
  await assert.rejects(listening, { code: "START_ABORTED" });
  await closed;
  assert.equal(server.listening, false);
});
