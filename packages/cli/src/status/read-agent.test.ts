import { freePort } from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createTcpServer, type Server } from "node:net";
import { test, type TestContext } from "node:test";
import { readAgent, type Reading } from "./read-agent.ts";

const metrics = 'millrace_channel_events{agent="a",component="c",type="file"} 1\n';

async function listen(t: TestContext, server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return (server.address() as AddressInfo).port;
}

async function readFrom(
  t: TestContext,
  answer: RequestListener,
  timeoutMs = 30_000,
): Promise<Reading> {
  const server = createServer(answer);
  const port = await listen(t, server);
  t.after(() => server.closeAllConnections());
  return readAgent({ host: "127.0.0.1", port }, timeoutMs, () => 0);
}

/** An agent's port whose `/readyz` answers this. */
const ready =
  (status: number, body: string): RequestListener =>
  ({ url }, response) => {
    const isReady = url === "/readyz";
    response.writeHead(isReady ? status : 200).end(isReady ? body : metrics);
  };

test("an agent that is ready is read, and one that is not says why", async (t) => {
  const well = await readFrom(t, ready(200, "ready\n"));
  assert.deepEqual([well.problem, well.notReady, well.samples?.length], [undefined, undefined, 1]);
  const draining = await readFrom(t, ready(503, "draining\n"));
  assert.deepEqual([draining.problem, draining.notReady], [undefined, "draining"]);
});

for (const { name, status, body, says } of [
  { name: "a page", status: 503, body: "<html>\n<p>no</p></html>", says: "/readyz answers 503" },
  { name: "nothing", status: 503, body: "", says: "/readyz answers 503" },
  { name: "an essay", status: 503, body: "x".repeat(1000), says: "/readyz answers 503" },
  { name: "that there is no such path", status: 404, body: "no", says: "/readyz answers 404" },
]) {
  test(`of a /readyz that says ${name} the status is told`, async (t) => {
    assert.equal((await readFrom(t, ready(status, body))).notReady, says);
  });
}

const hangs: RequestListener = () => {};
const drips: RequestListener = (_, response) => {
  const timer = setInterval(() => response.write("x"), 20);
  response.on("close", () => clearInterval(timer));
};
const floods: RequestListener = (_, response) => {
  const more = (): void => {
    while (!response.destroyed && response.write(Buffer.alloc(1 << 20, "x")));
  };
  response.on("drain", more);
  more();
};
const notAnAgent = /^what answers there is no Millrace agent/;

for (const { name, answer, timeoutMs, says } of [
  {
    name: "never answers",
    answer: hangs,
    timeoutMs: 200,
    says: /^no answer within 0.2 s: the host/,
  },
  {
    name: "answers a byte now and then",
    answer: drips,
    timeoutMs: 300,
    says: /^no answer within 0.3 s/,
  },
  { name: "answers without end", answer: floods, says: /^its answer is over 16777216 bytes$/ },
  {
    name: "cuts the connection",
    answer: ({ socket }) => socket.destroy(),
    says: /^(UND_ERR_SOCKET|ECONNRESET): the connection was cut/,
  },
  {
    name: "knows no such path",
    answer: (_, response) => response.writeHead(404).end("no"),
    says: /^\/metrics\/prometheus answers 404: is that an agent's port\?$/,
  },
  {
    name: "sends elsewhere",
    answer: (_, response) => response.writeHead(302, { location: "/login" }).end(),
    says: /answers 302/,
  },
  {
    name: "answers HTML",
    answer: (_, response) => response.end("<html>hello</html>"),
    says: notAnAgent,
  },
  { name: "has other metrics", answer: (_, response) => response.end("up 1\n"), says: notAnAgent },
  {
    name: "answers with noise",
    answer: (_, response) => response.end(Buffer.alloc(4096, 0xff)),
    says: notAnAgent,
  },
] satisfies { name: string; answer: RequestListener; timeoutMs?: number; says: RegExp }[]) {
  test(`what ${name} is no agent that can be read, and the reason is said`, async (t) => {
    const { notReady, problem, samples } = await readFrom(t, answer, timeoutMs);
    assert.deepEqual([samples, notReady], [undefined, undefined]);
    assert.match(problem ?? "", says);
  });
}

test("a port where nobody listens, a name that is none, and what is no HTTP are told apart", async (t) => {
  const read = async (host: string, port: number): Promise<string> =>
    (await readAgent({ host, port }, 30_000, () => 0)).problem ?? "";
  assert.match(await read("127.0.0.1", await freePort()), /^ECONNREFUSED: nothing listens there/);
  assert.match(await read("a..b", 1024), /^ENOTFOUND: the name has no address/);
  const ssh = createTcpServer((socket) => {
    socket.on("error", () => {}).once("data", () => socket.end("SSH-2.0-x\r\n"));
  });
  assert.match(
    await read("127.0.0.1", await listen(t, ssh)),
    /does not speak HTTP: Response does not match/,
  );
});

test("an agent at an IPv6 address is read", async (t) => {
  const server = createServer(ready(200, "ready\n"));
  server.listen(0, "::1");
  const opened = await Promise.race([
    once(server, "listening").then(() => true),
    once(server, "error").then(() => false),
  ]);
  if (!opened) return t.skip("this machine has no IPv6");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const { address, problem } = await readAgent({ host: "::1", port }, 30_000, () => 0);
  assert.deepEqual([address, problem], [`[::1]:${port}`, undefined]);
});

test("reading can be given up", async (t) => {
  const port = await listen(t, createTcpServer());
  const stop = new AbortController();
  const reading = readAgent({ host: "127.0.0.1", port }, 30_000, () => 0, stop.signal);
  stop.abort();
  assert.equal((await reading).samples, undefined);
});
