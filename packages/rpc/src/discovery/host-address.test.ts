import { MillraceError } from "@millrace/core";
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  formatHost,
  type HostAddress,
  hostAddressProblem,
  parseHostAddress,
} from "./host-address.ts";

type Given = { [K in HostAddress as K["kind"]]: Omit<K, "text"> }[HostAddress["kind"]];
const dns = { kind: "dns", name: "collectors", port: 4141, intervalMs: 30_000, family: 0 } as const;
const consul = { kind: "consul", service: "c", tags: [], passing: true, waitMs: 60_000 } as const;

const good: { text: string; want: Given; defaultPort?: number }[] = [
  { text: "h1:4141", want: { kind: "static", host: "h1", port: 4141 } },
  { text: "10.0.0.7:1", want: { kind: "static", host: "10.0.0.7", port: 1 } },
  { text: "[::1]:4141", want: { kind: "static", host: "::1", port: 4141 } },
  { text: "[fe80::1%eth0]:1", want: { kind: "static", host: "fe80::1%eth0", port: 1 } },
  { text: "h1", defaultPort: 9, want: { kind: "static", host: "h1", port: 9 } },
  { text: "h1:1", defaultPort: 9, want: { kind: "static", host: "h1", port: 1 } },
  { text: "dns://collectors:4141", want: dns },
  { text: "DNS://collectors:4141/", want: dns },
  { text: "dns://collectors", defaultPort: 4141, want: dns },
  {
    text: "dns://a.b_c.example.:1?interval=5m&family=6&server=[::1]:5353&cache=/var/c.json",
    want: {
      kind: "dns",
      name: "a.b_c.example.",
      port: 1,
      intervalMs: 300_000,
      family: 6,
      server: "[::1]:5353",
      cacheFile: "/var/c.json",
    },
  },
  { text: "dns://collectors:4141?family=4", want: { ...dns, family: 4 } },
  { text: "dns://collectors:4141?interval=2", want: { ...dns, intervalMs: 2000 } },
  { text: "dns://collectors:4141?interval=1500ms", want: { ...dns, intervalMs: 1500 } },
  { text: "dns://collectors:4141?server=::1", want: { ...dns, server: "::1" } },
  {
    text: "dns+srv://_millrace._tcp.collectors.example?interval=1h&server=127.0.0.1:53",
    want: {
      kind: "dns+srv",
      name: "_millrace._tcp.collectors.example",
      intervalMs: 3_600_000,
      server: "127.0.0.1:53",
    },
  },
  { text: "consul://c", want: consul },
  {
    text: "consul://c%20d?tag=a&tag=b&dc=eu&near=_agent&passing=false&wait=5s&agent=https://h:1&token-file=/t",
    want: {
      kind: "consul",
      service: "c d",
      tags: ["a", "b"],
      datacenter: "eu",
      near: "_agent",
      passing: false,
      waitMs: 5000,
      agent: "https://h:1",
      tokenFile: "/t",
    },
  },
];
for (const { text, want, defaultPort } of good) {
  test(`${text} is ${want.kind}`, () => {
    assert.deepEqual(parseHostAddress(text, defaultPort), { ...want, text });
    assert.equal(hostAddressProblem(text, defaultPort), undefined);
  });
}

const bad: { text: string; says: RegExp }[] = [
  { text: "h1", says: /the port is missing: h1:port/ },
  { text: "h1:", says: /"" is no port from 1 to 65535/ },
  { text: "h1:0", says: /"0" is no port/ },
  { text: "h1:65536", says: /"65536" is no port/ },
  { text: "h1:4141x", says: /"4141x" is no port/ },
  { text: ":4141", says: /the host is missing/ },
  { text: "", says: /the host is missing/ },
  { text: "h1 h2:4141", says: /"h1 h2" is no name of a host; it may be host:port, dns:/ },
  { text: "h1:1,h2:2", says: /it may be host:port/ },
  { text: "::1:4141", says: /brackets: \[::1:4141\]:port/ },
  { text: "[::g]:4141", says: /"::g" is no IPv6 address/ },
  { text: "dsn://c:1", says: /there is no "dsn:\/\/"; did you mean dns\?; it may be host:port/ },
  { text: "dns-srv://_a._tcp.c", says: /did you mean dns\+srv\?/ },
  { text: "consull://c", says: /did you mean consul\?/ },
  { text: "avro://c:1", says: /there is no "avro:\/\/"; it may be/ },
  { text: "dns://c", says: /the port is missing: c:port/ },
  { text: "dns://10.0.0.7:41", says: /is an address already; write 10\.0\.0\.7:41/ },
  { text: "dns://a..b:1", says: /"a\.\.b" is no name that DNS can hold/ },
  { text: `dns://${"a".repeat(64)}:1`, says: /no name that DNS can hold/ },
  { text: `dns://${"a.".repeat(150)}b:1`, says: /at most 253 letters/ },
  { text: "dns://c:1/path", says: /nothing belongs behind "c:1" but \?/ },
  { text: "dns://c:1?intervall=3s", says: /"intervall" is not known; did you mean interval\?/ },
  { text: "dns://c:1?tag=a", says: /"tag" is not known; known are interval, family, server/ },
  { text: "dns://c:1?interval=soon", says: /a time such as 30s, 5m or 500ms, not "soon"/ },
  { text: "dns://c:1?interval=999ms", says: /interval is from 1s to 86400s/ },
  { text: "dns://c:1?interval=2d", says: /a time such as/ },
  { text: "dns://c:1?interval=", says: /interval has no value/ },
  { text: "dns://c:1?interval=1s&interval=2s", says: /interval is given twice/ },
  { text: "dns://c:1?family=5", says: /family is 4 or 6, not "5"/ },
  { text: "dns://c:1?server=ns.example", says: /server is the address of a name server/ },
  { text: "dns+srv://_a._tcp.c:1", says: /SRV records carry the ports/ },
  { text: "dns+srv://c.example", says: /is like _millrace\._tcp\.collectors\.example/ },
  { text: "consul://", says: /the name of the service is missing/ },
  { text: "consul://c:8500", says: /its own address is agent=host:port/ },
  { text: "consul://%zz", says: /has a % that encodes nothing/ },
  { text: "consul://c?passing=yes", says: /passing is true or false, not "yes"/ },
  { text: "consul://c?wait=11m", says: /wait is from 1s to 600s/ },
  { text: "consul://c?agent=ftp://h", says: /"ftp:\/\/h" is no address of a Consul agent/ },
  { text: "consul://c?tags=a", says: /"tags" is not known; did you mean tag\?/ },
];
for (const { text, says } of bad) {
  test(`"${text.slice(0, 60)}" is CONFIG_INVALID`, () => {
    assert.throws(
      () => parseHostAddress(text),
      (error) => error instanceof MillraceError && error.code === "CONFIG_INVALID",
    );
    assert.match(hostAddressProblem(text) ?? "", says);
  });
}

test("an address is shown as it would be written", () => {
  assert.equal(formatHost({ host: "h1", port: 1 }), "h1:1");
  assert.equal(formatHost({ host: "::1", port: 1 }), "[::1]:1");
});
