import { editHeaders, EventBatch } from "@millrace/core";
import { createFakeClock, optionsOf, partContext, within } from "@millrace/testing";
import assert from "node:assert/strict";
import { isIP } from "node:net";
import { hostname } from "node:os";
import { test } from "node:test";
import { createHostInterceptor } from "./host.ts";
import { interceptor } from "./index.ts";
import { options } from "./options.ts";
import { createThisHost, type ThisHost } from "./this-host.ts";

const known: ThisHost = {
  address: () => "192.0.2.7",
  name: () => Promise.resolve("edge-7.example.org"),
};

async function headersAfter(
  properties: Record<string, string>,
  headers: Record<string, string> = {},
  thisHost = known,
  context = partContext(),
): Promise<Record<string, string>> {
  const made = await createHostInterceptor(optionsOf(options, properties), context, thisHost);
  const batch = EventBatch.fromEvents([
    { headers: new Map(Object.entries(headers)), body: Buffer.from("x") },
  ]);
  return Object.fromEntries(editHeaders(batch, made.edits()).at(0).headers);
}

const cases = [
  { name: "host sets the header host (T492)", given: {}, want: { host: "192.0.2.7" } },
  {
    name: "host sets the header it is told (T493)",
    given: { hostHeader: "from" },
    want: { from: "192.0.2.7" },
  },
  {
    name: "host keeps an existing value when told to (T494)",
    given: { preserveExisting: "true" },
    headers: { host: "first" },
    want: { host: "first" },
  },
  {
    name: "host replaces an existing value otherwise (T495)",
    given: {},
    headers: { host: "first" },
    want: { host: "192.0.2.7" },
  },
  {
    name: "host is an address when useIP is true (T496)",
    given: { useIP: "true" },
    want: { host: "192.0.2.7" },
  },
  {
    name: "host is a name when useIP is false (T497)",
    given: { useIP: "false" },
    want: { host: "edge-7.example.org" },
  },
];

for (const { name, given, headers, want } of cases) {
  void test(name, async () => {
    const after = await headersAfter(given as Record<string, string>, headers);
    assert.deepEqual(after, want);
  });
}

void test("a host that cannot be found out leaves the header unset, and warns once", async () => {
  const lost: ThisHost = {
    address() {
      throw new Error("no network");
    },
    name: () => Promise.reject(new Error("no name")),
  };
  for (const useIP of ["true", "false"]) {
    const context = partContext();
    const headers = await headersAfter({ useIP }, { host: "first" }, lost, context);
    assert.deepEqual(headers, { host: "first" });
    assert.equal(context.log.lines.length, 1);
    assert.match(context.log.lines[0]?.message ?? "", /unknown: host is not set/);
  }
});

void test("this machine's name is the resolver's, or the kernel's when that fails or hangs", async () => {
  const clock = createFakeClock();
  const answers = createThisHost(clock, (name) => Promise.resolve(`${name}.example.org`));
  assert.equal(await answers.name(), `${hostname()}.example.org`);
  const fails = createThisHost(clock, () => Promise.reject(new Error("ENOTFOUND")));
  assert.equal(await fails.name(), hostname());
  assert.equal(clock.timerCount, 0, "no one waits for the resolver any more");
  const hangs = createThisHost(clock, () => new Promise(() => {})).name();
  await clock.advance(5000);
  assert.equal(await within("name", hangs), hostname());
  assert.equal(clock.timerCount, 0);
});

void test("the definition makes an interceptor that declares its edits", async () => {
  const made = await interceptor.create(optionsOf(options, {}), partContext());
  assert.ok(typeof made === "object");
  for (const { value } of made.edits()) assert.notEqual(isIP(value), 0);
});
