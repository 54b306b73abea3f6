import assert from "node:assert/strict";
import { Resolver } from "node:dns/promises";
import { createSocket } from "node:dgram";
import { test, type TestContext } from "node:test";
import { waitFor } from "../wait-for.ts";
import { createDnsServer, type DnsServer } from "./dns-server.ts";

async function served(t: TestContext): Promise<{ server: DnsServer; ask: () => Resolver }> {
  const server = await createDnsServer();
  t.after(() => server.close());
  // A resolver for each question: some of Node's remember what they were told.
  const ask = (): Resolver => {
    const resolver = new Resolver({ timeout: 100, tries: 2 });
    resolver.setServers([server.address]);
    return resolver;
  };
  return { server, ask };
}

void test("the test's name server answers each kind of question with its records", async (t) => {
  const { server, ask } = await served(t);
  server.set("a.test", { addresses: ["10.0.0.1", "10.0.0.2", "2001:db8::7", "::1"] });
  const record = { name: "b.test", port: 4141, priority: 1, weight: 5 };
  server.set("_x._tcp.test", { srv: [record] });
  assert.deepEqual(await ask().resolve4("a.test"), ["10.0.0.1", "10.0.0.2"]);
  assert.deepEqual(await ask().resolve6("A.test"), ["2001:db8::7", "::1"]);
  const [found] = await ask().resolveSrv("_x._tcp.test");
  // Later Nodes add the record's type.
  assert.deepEqual({ ...found, ...record }, { ...found });
  assert.equal(server.questions, 3);
});

void test("the test's name server errs and is silent when told to", async (t) => {
  const { server, ask } = await served(t);
  await assert.rejects(ask().resolve4("nobody.test"), { code: "ENOTFOUND" });
  server.set("a.test", "SERVFAIL");
  await assert.rejects(ask().resolve4("a.test"), { code: "ESERVFAIL" });
  server.set("a.test", {});
  await assert.rejects(ask().resolve4("a.test"), { code: "ENODATA" });
  server.set("a.test", "silence");
  await assert.rejects(ask().resolve4("a.test"), { code: "ETIMEOUT" });
  assert.ok(server.questions >= 5, "the silent one was asked again");
});

void test("the test's name server does not mind bytes that are no question", async (t) => {
  const { server, ask } = await served(t);
  server.set("a.test", { addresses: ["10.0.0.1"] });
  const socket = createSocket("udp4");
  t.after(() => socket.close());
  const port = Number(server.address.split(":")[1]);
  for (const bytes of [Buffer.alloc(3), Buffer.alloc(12), Buffer.alloc(40, 0xff)]) {
    await new Promise((resolve) => socket.send(bytes, port, "127.0.0.1", resolve));
  }
  await waitFor("an answer", async () => (await ask().resolve4("a.test")).length === 1);
});
