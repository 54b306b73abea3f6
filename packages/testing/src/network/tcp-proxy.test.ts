import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { waitFor, within } from "../wait-for.ts";
import { createTcpProxy, type TcpProxy } from "./tcp-proxy.ts";

interface Ends {
  readonly proxy: TcpProxy;
  readonly client: Peer;
  readonly server: Peer;
}

interface Peer {
  readonly socket: Socket;
  readonly received: () => string;
  readonly ended: () => boolean;
  readonly failure: () => string;
}

function watched(socket: Socket): Peer {
  let text = "";
  let ended = false;
  let failure = "";
  socket.on("data", (chunk) => (text += String(chunk)));
  socket.on("end", () => (ended = true));
  socket.on("error", (error) => (failure = (error as NodeJS.ErrnoException).code ?? error.message));
  return { socket, received: () => text, ended: () => ended, failure: () => failure };
}

async function target(t: TestContext): Promise<{ port: number; accepted: Peer[] }> {
  const accepted: Peer[] = [];
  const listener = createServer({ allowHalfOpen: true }, (socket) =>
    accepted.push(watched(socket)),
  );
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  t.after(() => {
    for (const { socket } of accepted) socket.destroy();
    listener.close();
  });
  return { port: (listener.address() as AddressInfo).port, accepted };
}

function dial(t: TestContext, port: number): Peer {
  const client = watched(connect({ host: "127.0.0.1", port, allowHalfOpen: true }));
  t.after(() => client.socket.destroy());
  return client;
}

async function connected(t: TestContext): Promise<Ends> {
  const { port, accepted } = await target(t);
  const proxy = await createTcpProxy({ host: "127.0.0.1", port });
  t.after(() => proxy.close());
  const client = dial(t, proxy.port);
  await waitFor("the target to be reached", () => accepted.length === 1);
  return { proxy, client, server: accepted[0] as Peer };
}

const received = (peer: Peer, text: string): Promise<void> =>
  waitFor(`"${text}"`, () => peer.received() === text);

/** One there and back on another connection: whatever was going to arrive before has. */
async function roundTrip({ client, server }: Ends): Promise<void> {
  const before = server.received().length;
  client.socket.write("?");
  await waitFor("the question", () => server.received().length > before);
}

void test("pass forwards both ways and counts bytes and connections", async (t) => {
  const { proxy, client, server } = await connected(t);
  client.socket.write("hello");
  await received(server, "hello");
  server.socket.write("hi");
  await received(client, "hi");
  assert.deepEqual(
    { ...proxy.counters },
    {
      connections: 1,
      connectionsCut: 0,
      bytesToServer: 5,
      bytesToClient: 2,
      bytesSwallowed: 0,
    },
  );
  assert.equal(proxy.openConnections, 1);
});

void test("pass moves more than the sockets buffer, unchanged", async (t) => {
  const { client, server } = await connected(t);
  const text = "0123456789abcdef".repeat(1 << 18);
  client.socket.end(text);
  await waitFor("4 MiB", () => server.ended());
  assert.equal(server.received() === text, true);
});

void test("cut resets both ends of every connection, and new ones are accepted", async (t) => {
  const { proxy, client, server } = await connected(t);
  assert.equal(proxy.cut(), 1);
  await waitFor("both resets", () => client.failure() !== "" && server.failure() !== "");
  assert.equal(client.failure(), "ECONNRESET");
  assert.equal(server.failure(), "ECONNRESET");
  assert.equal(proxy.openConnections, 0);
  const again = dial(t, proxy.port);
  await within("a new connection", once(again.socket, "connect"));
});

void test("refuse turns new connections away, keeps open ones, and pass brings the port back", async (t) => {
  const { proxy, client, server } = await connected(t);
  const { port } = proxy;
  await proxy.setMode("refuse");
  const refused = dial(t, port);
  await waitFor("a refusal", () => refused.failure() !== "");
  assert.equal(refused.failure(), "ECONNREFUSED");
  client.socket.write("still here");
  await received(server, "still here");
  await proxy.setMode("pass");
  assert.equal(proxy.port, port);
  await within("a new connection", once(dial(t, port).socket, "connect"));
});

void test("stall forwards nothing either way and resumes with everything that waited", async (t) => {
  const { proxy, client, server } = await connected(t);
  await proxy.setMode("stall");
  const before = { ...proxy.counters };
  client.socket.write("asked");
  server.socket.write("told");
  const late = dial(t, proxy.port);
  await within("a stalled connection", once(late.socket, "connect"));
  late.socket.write("late");
  await waitFor("the accept", () => proxy.openConnections === 2);
  assert.equal(server.received() + client.received(), "");
  await proxy.setMode("pass");
  await received(server, "asked");
  await received(client, "told");
  await waitFor("the late bytes", () => proxy.counters.bytesToServer === 9);
  assert.deepEqual(
    [before.bytesToServer, before.bytesToClient, proxy.counters.bytesToClient],
    [0, 0, 4],
  );
});

void test("swallow-replies drops what the server says, and that connection is reset afterwards", async (t) => {
  const ends = await connected(t);
  const { proxy, client, server } = ends;
  await proxy.setMode("swallow-replies");
  client.socket.write("deliver this");
  await received(server, "deliver this");
  server.socket.write("OK");
  await waitFor("the swallowed reply", () => proxy.counters.bytesSwallowed === 2);
  await roundTrip(ends);
  assert.equal(client.received(), "");
  await proxy.setMode("pass");
  await waitFor("the reset", () => client.failure() === "ECONNRESET");
});

void test("a delay hands chunks on later, in order, and the end behind them", async (t) => {
  const { proxy, client, server } = await connected(t);
  proxy.setDelay(40);
  const sent = performance.now();
  client.socket.write("one ");
  await waitFor("the first chunk", () => server.received() === "one ");
  assert.ok(performance.now() - sent >= 39);
  client.socket.write("two ");
  proxy.setDelay(0);
  client.socket.end("three");
  await waitFor("the end", () => server.ended());
  assert.equal(server.received(), "one two three");
});

void test("a half close ends one way only", async (t) => {
  const { proxy, client, server } = await connected(t);
  proxy.halfClose("server");
  await waitFor("the server's end", () => server.ended());
  server.socket.write("I still speak");
  await received(client, "I still speak");
  assert.equal(client.ended(), false);
});

void test("an end in order reaches the other side, and nothing stays behind", async (t) => {
  const { proxy, client, server } = await connected(t);
  client.socket.end("bye");
  await waitFor("the end", () => server.ended());
  server.socket.end("bye");
  await waitFor("the end", () => client.ended());
  await waitFor("no connection", () => proxy.openConnections === 0);
  assert.equal(server.received() + client.received(), "byebye");
  assert.equal(client.failure() + server.failure(), "");
});

void test("a target that is down resets the client", async (t) => {
  const { port } = await target(t);
  const proxy = await createTcpProxy({ host: "127.0.0.1", port });
  t.after(() => proxy.close());
  const closedPort = await (async () => {
    const other = await createTcpProxy({ host: "127.0.0.1", port });
    await other.close();
    return other.port;
  })();
  proxy.setTarget({ host: "127.0.0.1", port: closedPort });
  const client = dial(t, proxy.port);
  await waitFor("the reset", () => client.failure() === "ECONNRESET");
});

void test("close is idempotent and resets what is open", async (t) => {
  const { proxy, client } = await connected(t);
  await within("close", proxy.close());
  await within("close again", proxy.close());
  await waitFor("the reset", () => client.failure() === "ECONNRESET");
});
