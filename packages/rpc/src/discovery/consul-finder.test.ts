import { type MillraceError, systemClock } from "@millrace/core";
import {
  type ConsulAgent,
  createConsulAgent,
  createFakeClock,
  tempDirectory,
  waitFor,
  within,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import type { ConsulClient, InstancesQuestion } from "./consul-client.ts";
import { type ConsulFinderOptions, openConsulFinder } from "./consul-finder.ts";
import { type ConsulAddress, formatHost, parseHostAddress } from "./host-address.ts";
import type { HostFinder } from "./host-finder.ts";
import type { Host } from "./host-list.ts";

const never = new AbortController().signal;
const instance = (id: string, port: number, extra: object = {}) => ({
  ID: id,
  Name: "collectors",
  Tags: [],
  Address: "10.0.0.1",
  Port: port,
  ...extra,
});
const show = (hosts: readonly Host[]): string => hosts.map(formatHost).join(" ");

async function opened(
  t: TestContext,
  parameters = "",
  options: Partial<ConsulFinderOptions> = {},
): Promise<{ agent: ConsulAgent; finder: HostFinder; find(): Promise<readonly Host[]> }> {
  const agent = await createConsulAgent();
  t.after(() => agent.stop());
  const text = `consul://collectors?agent=${agent.address}${parameters}`;
  const finder = openConsulFinder(parseHostAddress(text) as ConsulAddress, {
    clock: systemClock,
    environment: {},
    ...options,
  });
  t.after(() => finder.close());
  return { agent, finder, find: () => within("an answer", finder.find(never)) };
}

test("the passing instances are found by their own address, or their node's", async (t) => {
  const { agent, find, finder } = await opened(t);
  agent.put(instance("a", 1, { Weights: { Passing: 5 } }));
  agent.put(instance("b", 2, { Address: "" }));
  agent.put(instance("c", 3));
  agent.put({ ...instance("d", 4), Name: "others" });
  agent.put(instance("e", 0));
  agent.setHealth("c", "critical");
  assert.deepEqual(await find(), [
    { host: "10.0.0.1", port: 1, weight: 5 },
    { host: "127.0.0.9", port: 2, weight: 1 },
  ]);
  assert.equal(finder.asked, `Consul at ${agent.address}`);
  assert.equal(finder.ordered, false);
  const { path, query, token } = agent.requests[0] ?? assert.fail();
  assert.equal(path, "/v1/health/service/collectors");
  assert.equal(query.get("passing"), "true");
  assert.deepEqual([query.get("index"), query.get("wait"), token], [null, null, undefined]);
});

test("tags, data centre, nearness and health are asked for", async (t) => {
  const { agent, find, finder } = await opened(
    t,
    "&tag=eu&tag=x%26y&dc=d1&near=_agent&passing=false",
  );
  agent.put(instance("a", 1, { Tags: ["eu"] }));
  agent.put(instance("b", 2, { Tags: ["x&y", "eu"] }));
  agent.setHealth("b", "critical");
  assert.equal(show(await find()), "10.0.0.1:2");
  const { query } = agent.requests[0] ?? assert.fail();
  assert.deepEqual(query.getAll("tag"), ["eu", "x&y"]);
  assert.deepEqual([query.get("dc"), query.get("near")], ["d1", "_agent"]);
  assert.equal(query.has("passing"), false);
  assert.equal(finder.ordered, true, "the nearest stays first");
});

test("the next question waits for news, with the last answer's index", async (t) => {
  const { agent, find } = await opened(t, "&wait=7s");
  agent.put(instance("a", 1));
  await find();
  const next = find();
  await waitFor("a question that waits", () => agent.waiting === 1);
  agent.put(instance("b", 2));
  assert.equal(show(await next), "10.0.0.1:1 10.0.0.1:2");
  const { query } = agent.requests[1] ?? assert.fail();
  assert.deepEqual([query.get("index"), query.get("wait")], ["11", "7000ms"]);
});

test("an index beyond what a number holds is kept to the digit", async (t) => {
  const seen: string[] = [];
  const server = createServer((request, response) => {
    seen.push(new URL(request.url ?? "", "http://x").searchParams.get("index") ?? "none");
    response.writeHead(200, {
      "content-type": "application/json",
      "x-consul-index": "18446744073709551615",
    });
    response.end(JSON.stringify([{ Service: { Address: "h", Port: 1 } }]));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  const { port } = server.address() as AddressInfo;
  const text = `consul://collectors?agent=127.0.0.1:${port}`;
  const finder = openConsulFinder(parseHostAddress(text) as ConsulAddress, {
    clock: systemClock,
    environment: {},
  });
  t.after(() => finder.close());
  await within("the first answer", finder.find(never));
  await within("the second answer", finder.find(never));
  assert.deepEqual(seen, ["none", "18446744073709551615"]);
});

/** A client that answers with these indexes, and keeps what it was asked. */
function scripted(answers: readonly (bigint | "error" | "empty")[]): {
  client: ConsulClient;
  asked: (bigint | undefined)[];
} {
  const asked: (bigint | undefined)[] = [];
  const left = [...answers];
  const client = {
    async instances(question: InstancesQuestion) {
      asked.push(question.index);
      const next = left.shift();
      if (next === "error" || next === undefined) throw new Error("no");
      const instances = next === "empty" ? [] : [{ address: "h", port: 1, weight: 1 }];
      return { instances, index: next === "empty" ? 50n : next, filtered: false };
    },
    close() {},
  };
  return { client: client as unknown as ConsulClient, asked };
}

for (const { name, answers, want } of [
  { name: "an index that goes on is asked for", answers: [5n, 6n, 6n], want: [undefined, 5n, 6n] },
  {
    name: "an index that goes backwards is forgotten: Consul was restored",
    answers: [9n, 4n, 5n, 5n],
    want: [undefined, 9n, undefined, 5n],
  },
  {
    name: "an index of 0 is never asked for: that would be a busy loop",
    answers: [0n, 3n, 3n],
    want: [undefined, undefined, 3n],
  },
  {
    name: "after an error the index is forgotten",
    answers: [7n, "error", 8n, 8n],
    want: [undefined, 7n, undefined, 8n],
  },
  {
    name: "an empty answer is an answer: the next question waits for news",
    answers: ["empty", 60n, 60n],
    want: [undefined, 50n, 60n],
  },
] as const) {
  test(name, async () => {
    const { client, asked } = scripted(answers);
    const address = parseHostAddress("consul://collectors") as ConsulAddress;
    const finder = openConsulFinder(
      address,
      { clock: systemClock, environment: {} },
      async () => client,
    );
    for (let i = 0; i < answers.length; i++) await finder.find(never).catch(() => {});
    assert.deepEqual(asked.slice(0, want.length), want);
  });
}

for (const { fault, says } of [
  { fault: "error", says: /No cluster leader/ },
  { fault: "forbidden", says: /Permission denied; the token must have the right to it/ },
  { fault: "cut", says: /socket hang up|ECONNRESET/ },
] as const) {
  test(`${fault} is DISCOVERY_FAILED with Consul's address, and no token in it`, async (t) => {
    const environment = { CONSUL_HTTP_TOKEN: "s.secret" };
    const { agent, find } = await opened(t, "", { environment });
    agent.fault = fault;
    await assert.rejects(find(), (error: MillraceError) => {
      assert.equal(error.code, "DISCOVERY_FAILED");
      assert.ok(error.message.includes(`Consul at ${agent.address}: `), error.message);
      assert.match(error.message, says);
      assert.equal(error.cause, undefined);
      return true;
    });
    assert.equal(agent.requests[0]?.token, "s.secret");
    agent.fault = "none";
    agent.put(instance("a", 1));
    assert.equal(show(await find()), "10.0.0.1:1");
  });
}

test("nobody there, and a token that may not see, are told apart", async (t) => {
  const { agent, find } = await opened(t);
  await assert.rejects(find(), /names no passing instance of collectors$/);
  agent.filtered = true;
  agent.put({ ...instance("x", 1), Name: "others" });
  await assert.rejects(find(), /names no passing instance of collectors; the token may not see/);
});

test("a Consul that is not there is DISCOVERY_FAILED, and found when it is back", async (t) => {
  const { agent, find } = await opened(t);
  await agent.stop();
  await assert.rejects(find(), { code: "DISCOVERY_FAILED", message: /ECONNREFUSED/ });
  await agent.listen();
  agent.put(instance("a", 1));
  assert.equal(show(await find()), "10.0.0.1:1");
});

test("a Consul that hangs is given up in its time: ten seconds, and what it may wait", async (t) => {
  const clock = createFakeClock();
  const { agent, finder, find } = await opened(t, "&wait=16s", { clock });
  agent.put(instance("a", 1));
  await find();
  agent.fault = "hang";
  for (const { limitMs, asked } of [
    { limitMs: 27_000, asked: 2 },
    { limitMs: 10_000, asked: 3 },
  ]) {
    let ended = false;
    const rejected = assert.rejects(finder.find(never), {
      code: "DISCOVERY_FAILED",
      message: new RegExp(`no answer within ${limitMs / 1000} s`),
    });
    void rejected.then(() => (ended = true));
    await waitFor("the question", () => agent.requests.length === asked);
    await clock.advance(limitMs - 1);
    assert.equal(ended, false);
    await clock.advance(1);
    await within("the end", rejected);
  }
});

test("a question that waits ends when it is given up", async (t) => {
  const { agent, finder, find } = await opened(t);
  agent.put(instance("a", 1));
  await find();
  const stopping = new AbortController();
  const waits = finder.find(stopping.signal);
  await waitFor("a question that waits", () => agent.waiting === 1);
  stopping.abort();
  await assert.rejects(within("the end", waits), { message: /the question was given up/ });
  await waitFor("its connection to end", () => agent.waiting === 0);
  await assert.rejects(within("the end", finder.find(AbortSignal.abort())), {
    code: "DISCOVERY_FAILED",
  });
});

test("a token file is read for every question", async (t) => {
  const file = join(await tempDirectory(t), "token");
  await writeFile(file, "one\n");
  const { agent, find } = await opened(t, `&token-file=${file}`);
  agent.put(instance("a", 1));
  await find();
  await writeFile(file, "two\n");
  agent.index++;
  await find();
  assert.deepEqual(
    agent.requests.map(({ token }) => token),
    ["one", "two"],
  );
});
