import { createFakeClock, settle } from "@millrace/testing";
import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { test } from "node:test";
import { createIpFilter, nameOfAddress, parseIpFilterRules } from "./ip-filter.ts";

const names: Record<string, string> = {
  "10.0.0.1": "edge-1.example.com",
  "10.0.0.2": "other.test",
};
const lookUp = (address: string): Promise<string> => Promise.resolve(names[address] ?? address);

function filterOf(text: string, lookUpName = lookUp) {
  const { rules, problem } = parseIpFilterRules(text);
  assert.equal(problem, undefined);
  return createIpFilter(rules ?? [], createFakeClock(), lookUpName);
}

const cases: readonly { rules: string; address: string; allowed: boolean }[] = [
  { rules: "deny:ip:10.0.0.1", address: "10.0.0.1", allowed: false },
  { rules: "deny:ip:10.0.0.1", address: "10.0.0.11", allowed: true },
  { rules: "deny:ip:10.0.0.1", address: "210.0.0.1", allowed: true },
  { rules: "deny:ip:10.0.0.1", address: "10x0y0z1", allowed: true },
  { rules: "allow:ip:10.*,deny:ip:*", address: "10.9.8.7", allowed: true },
  { rules: "allow:ip:10.*,deny:ip:*", address: "11.9.8.7", allowed: false },
  { rules: " allow:ip:10.* , deny:ip:* ", address: "10.9.8.7", allowed: true },
  { rules: "deny:ip:*,allow:ip:10.*", address: "10.9.8.7", allowed: false },
  { rules: "deny:ip:10.0.0.?", address: "10.0.0.9", allowed: false },
  { rules: "deny:ip:10.0.0.?", address: "10.0.0.99", allowed: true },
  { rules: "deny:ip:1[0].0.0.1", address: "10.0.0.1", allowed: true },
  { rules: "deny:ip:10.0.0.1", address: "::ffff:10.0.0.1", allowed: false },
  { rules: "deny:ip:2001:db8::1", address: "2001:db8::1", allowed: false },
  { rules: "deny:ip:2001:db8:0:0:0:0:0:1", address: "2001:db8::1", allowed: false },
  { rules: "deny:ip:0:0:0:0:0:0:0:1", address: "::1", allowed: false },
  { rules: "allow:name:*.example.com,deny:ip:*", address: "10.0.0.1", allowed: true },
  { rules: "allow:name:*.example.com,deny:ip:*", address: "10.0.0.2", allowed: false },
  { rules: "deny:name:other.tes?", address: "10.0.0.2", allowed: false },
  { rules: "deny:name:10.0.0.3", address: "10.0.0.3", allowed: false },
  { rules: "allow:name:localhost,deny:ip:*", address: "127.0.0.1", allowed: true },
  { rules: "allow:name:localhost,deny:ip:*", address: "127.0.0.99", allowed: true },
  { rules: "allow:name:localhost,deny:ip:*", address: "::1", allowed: true },
  { rules: "allow:name:localhost,deny:ip:*", address: "10.0.0.1", allowed: false },
];
for (const { rules, address, allowed } of cases) {
  test(`${rules} ${allowed ? "lets in" : "keeps out"} ${address} (T079, T080)`, async () => {
    assert.equal(await filterOf(rules).allows(address), allowed);
  });
}

test("name:localhost means every address of this machine", async () => {
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  assert.ok(own.length > 0);
  const filter = filterOf("allow:name:localhost,deny:ip:*");
  for (const { address } of own) assert.ok(await filter.allows(address), address);
});

test("the name of an address is asked only when a rule wants it, and once", async () => {
  const asked: string[] = [];
  const counting = (address: string): Promise<string> => {
    asked.push(address);
    return lookUp(address);
  };
  const filter = filterOf("deny:ip:1.*,deny:name:a,deny:name:b", counting);
  await filter.allows("1.2.3.4");
  assert.deepEqual(asked, []);
  await filter.allows("10.0.0.1");
  assert.deepEqual(asked, ["10.0.0.1"]);
});

test("a name that does not lead back to its address is not believed, as in Java", async () => {
  const names = {
    nameOf: (address: string) => Promise.resolve(address.startsWith("10.") ? "trusted" : "gone"),
    addressesOf: (name: string) =>
      name === "trusted" ? Promise.resolve(["fd00::1", "10.0.0.1"]) : Promise.reject(new Error()),
  };
  assert.equal(await nameOfAddress("10.0.0.1", names), "trusted");
  assert.equal(await nameOfAddress("10.6.6.6", names), "10.6.6.6");
  assert.equal(await nameOfAddress("192.0.2.1", names), "192.0.2.1");
});

test("an address is asked for once a minute, and few addresses at one time", async () => {
  const clock = createFakeClock();
  const { rules = [] } = parseIpFilterRules("deny:name:a");
  const asked: string[] = [];
  const answers: (() => void)[] = [];
  const filter = createIpFilter(rules, clock, (address) => {
    asked.push(address);
    return new Promise((resolve) => answers.push(() => resolve(address)));
  });
  const all = Array.from({ length: 40 }, (_, i) => filter.allows(`10.0.0.${i % 20}`));
  for (let done = 0; done < 20;) {
    await settle();
    assert.ok(answers.length <= 2, `${answers.length} are asked for at one time`);
    for (const answer of answers.splice(0)) {
      answer();
      done++;
    }
  }
  assert.deepEqual(await Promise.all(all), new Array(40).fill(true));
  assert.equal(asked.length, 20);
  await clock.advance(60_000);
  void filter.allows("10.0.0.1");
  await settle();
  assert.equal(asked.length, 21);
});

for (const text of [
  "",
  " ",
  "allow",
  "allow:ip",
  "allow:ip:",
  "allow:ip:10.*,",
  "allow:ip:10.*,,deny:ip:*",
  "Allow:ip:10.*",
  "permit:ip:10.*",
  "allow:host:a",
  "allow:IP:10.*",
  "ip:allow:10.*",
  "10.0.0.*",
]) {
  test(`"${text}" is refused as ipFilter rules (T081)`, () => {
    assert.match(
      parseIpFilterRules(text).problem ?? "",
      /ipFilter.*allow or deny, then ip or name/,
    );
  });
}
