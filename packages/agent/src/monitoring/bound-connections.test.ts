import { waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { test, type TestContext } from "node:test";
import { boundConnections } from "./bound-connections.ts";

/** A server of two connections, which answers at once, or when it is told where the path is /slow. */
async function given(t: TestContext) {
  const slow: ServerResponse[] = [];
  const server = createServer((request, response) => {
    if (request.url === "/slow") slow.push(response);
    else response.end("ok");
  });
  boundConnections(server, 2);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  const open = async () => {
    const socket = connect(port, "127.0.0.1");
    t.after(() => socket.destroy());
    let heard = "";
    socket.on("data", (bytes: Buffer) => (heard += bytes.toString())).on("error", () => {});
    await once(socket, "connect");
    return Object.assign(socket, { heard: () => heard });
  };
  return { open, slow };
}

const ask = (socket: Socket, path: string): boolean =>
  socket.write(`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`);

void test("silent connections do not keep a new one out: the oldest goes", async (t) => {
  const { open } = await given(t);
  const [first, second] = [await open(), await open()];
  const probe = await open();
  ask(probe, "/healthz");
  await waitFor("the answer", () => probe.heard().endsWith("ok"));
  await waitFor("the oldest to be gone", () => first.destroyed);
  assert.equal(second.destroyed, false);
});

void test("a connection that is being answered stays, and what is answered is as old as its answer", async (t) => {
  const { open, slow } = await given(t);
  const scrape = await open();
  ask(scrape, "/slow");
  await waitFor("the scrape", () => slow.length === 1);
  const silent = await open();
  const probe = await open();
  await waitFor("the silent one to be gone", () => silent.destroyed);
  slow[0]?.end("scraped");
  await waitFor("the scrape's answer", () => scrape.heard().endsWith("scraped\r\n0\r\n\r\n") || scrape.heard().endsWith("scraped")); // prettier-ignore
  await open();
  await waitFor("the probe, now the longest silent, to be gone", () => probe.destroyed);
  assert.equal(scrape.destroyed, false);
});

void test("when all are being answered the new one goes", async (t) => {
  const { open, slow } = await given(t);
  for (const socket of [await open(), await open()]) ask(socket, "/slow");
  await waitFor("both", () => slow.length === 2);
  const third = await open();
  await waitFor("the third to be gone", () => third.destroyed);
});
