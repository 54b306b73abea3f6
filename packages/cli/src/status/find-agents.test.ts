import { createConsulAgent, createDnsServer, freePort, waitFor, within } from "@millrace/testing";
import { formatHost } from "@millrace/rpc/discovery";
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { type AgentFinder, findAgents } from "./find-agents.ts";

const port = 41414;

async function find(t: TestContext, ...addresses: string[]): Promise<AgentFinder> {
  const finder = await within("looking for agents", findAgents(addresses, { port }), 30_000);
  t.after(() => finder.stop());
  return finder;
}

const shown = ({ hosts }: AgentFinder): string[] => hosts.map(formatHost).sort();

async function dns(t: TestContext) {
  const server = await createDnsServer();
  t.after(() => server.close());
  return server;
}

async function consul(t: TestContext) {
  const agent = await createConsulAgent();
  t.after(() => agent.stop());
  const put = (id: string, address: string): void =>
    agent.put({ ID: id, Name: "collectors", Tags: [], Address: address, Port: 4141 });
  return { agent, put };
}

test("hosts are taken as they stand, each once, with the port where they say none", async (t) => {
  const finder = await find(t, "edge-1:1", "edge-2", "[::1]:2", "[::1]", "edge-1:1");
  assert.deepEqual(shown(finder), ["[::1]:2", "[::1]:41414", "edge-1:1", "edge-2:41414"]);
  assert.deepEqual(finder.missing, []);
});

test("a name stands for every address it has, and for others later", async (t) => {
  const server = await dns(t);
  server.set("edges.test", { addresses: ["10.0.0.1", "10.0.0.2", "fd00::1"] });
  const finder = await find(t, `dns://edges.test?server=${server.address}&interval=1s`);
  assert.deepEqual(shown(finder), ["10.0.0.1:41414", "10.0.0.2:41414", "[fd00::1]:41414"]);
  server.set("edges.test", { addresses: ["10.0.0.3"] });
  await waitFor("the other address", () => shown(finder).join() === "10.0.0.3:41414", 30_000);
});

test("an address that stands for nobody is named with its cause, whatever the others stand for", async (t) => {
  const server = await dns(t);
  const address = `dns://edges.test:1?server=${server.address}`;
  const finder = await find(t, address, "here:1");
  assert.deepEqual(shown(finder), ["here:1"]);
  const why = `it finds no agent: DNS at ${server.address} names no host for edges.test (ENOTFOUND)`;
  assert.deepEqual(finder.missing, [{ address, why }]);
});

test("a name server that is silent is waited for five seconds", async (t) => {
  const server = await dns(t);
  server.set("edges.test", "silence");
  const { missing } = await find(t, `dns://edges.test:1?server=${server.address}`);
  assert.equal(missing[0]?.why, "it finds no agent: no answer within 5 s");
});

test("of Consul the hosts are used with the monitoring port, also those whose checks fail", async (t) => {
  const { agent, put } = await consul(t);
  put("a", "10.0.0.1");
  put("b", "10.0.0.2");
  agent.setHealth("b", "critical");
  const all = await find(t, `consul://collectors?agent=${agent.address}`);
  assert.deepEqual(shown(all), ["10.0.0.1:41414", "10.0.0.2:41414"]);
  const well = await find(t, `consul://collectors?agent=${agent.address}&passing=true`);
  assert.deepEqual(shown(well), ["10.0.0.1:41414"]);
});

test("a service that Consul does not know, and a Consul that is not there, are said", async (t) => {
  const { agent } = await consul(t);
  const unknown = `consul://collectors?agent=${agent.address}`;
  const nobody = `consul://collectors?agent=127.0.0.1:${await freePort()}`;
  const { missing } = await find(t, unknown, nobody);
  assert.deepEqual(
    missing.map(({ address }) => address),
    [unknown, nobody],
  );
  assert.match(missing[0]?.why ?? "", /names no instance of collectors$/);
  assert.match(missing[1]?.why ?? "", /ECONNREFUSED/);
});

test("what is no address is refused with the forms there are", async () => {
  for (const address of ["x://y", "host:0", "dns://"]) {
    const found = findAgents([address], { port });
    await assert.rejects(found, {
      code: "CONFIG_INVALID",
      message: /is not the address of a host/,
    });
  }
});

test("looking can be given up", async (t) => {
  const server = await dns(t);
  server.set("edges.test", "silence");
  const stop = new AbortController();
  const found = findAgents([`dns://edges.test:1?server=${server.address}`], {
    port,
    giveUp: stop.signal,
  });
  stop.abort();
  await assert.rejects(within("the end of looking", found), { code: "START_ABORTED" });
});
