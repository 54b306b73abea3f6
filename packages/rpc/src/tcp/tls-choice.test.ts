import assert from "node:assert/strict";
import { test } from "node:test";
import { createSecureContext, getCiphers } from "node:tls";
import { cipherSuites } from "./cipher-suites.ts";
import type { TlsChoice } from "./security.ts";
import { checkTlsChoice, tlsSettings } from "./tls-choice.ts";

const none: TlsChoice = {
  includeProtocols: [],
  excludeProtocols: [],
  includeCipherSuites: [],
  excludeCipherSuites: [],
};
const both = { minVersion: "TLSv1.2", maxVersion: "TLSv1.3" };
const only = (version: string) => ({ minVersion: version, maxVersion: version });

const cases: readonly { name: string; choice: Partial<TlsChoice>; want: object }[] = [
  { name: "nothing chosen is what is safe", choice: {}, want: both },
  { name: "SSLv3 and old versions to leave out change nothing", choice: { excludeProtocols: ["SSLv3", "TLSv1", "TLSv1.1"] }, want: both }, // prettier-ignore
  { name: "an excluded version is left out", choice: { excludeProtocols: ["TLSv1.3"] }, want: only("TLSv1.2") }, // prettier-ignore
  { name: "an included version is the only one", choice: { includeProtocols: ["TLSv1.3"] }, want: only("TLSv1.3") }, // prettier-ignore
  { name: "an old version beside a good one is left out", choice: { includeProtocols: ["TLSv1.1", "TLSv1.2"] }, want: only("TLSv1.2") }, // prettier-ignore
  {
    name: "suites of both versions keep both",
    choice: { includeCipherSuites: ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256"] }, // prettier-ignore
    want: { ...both, ciphers: "TLS_AES_128_GCM_SHA256:ECDHE-RSA-AES128-GCM-SHA256" },
  },
  {
    name: "suites of TLSv1.2 alone leave TLSv1.3 out",
    choice: { includeCipherSuites: ["SSL_RSA_WITH_AES_128_CBC_SHA", "ecdhe-rsa-aes128-gcm-sha256"] }, // prettier-ignore
    want: { ...only("TLSv1.2"), ciphers: "ECDHE-RSA-AES128-GCM-SHA256:AES128-SHA" },
  },
  {
    name: "a suite of TLSv1.3 alone leaves TLSv1.2 out",
    choice: { includeCipherSuites: ["TLS_AES_256_GCM_SHA384"] },
    want: { ...only("TLSv1.3"), ciphers: "TLS_AES_256_GCM_SHA384" },
  },
];
for (const { name, choice, want } of cases) {
  test(`protocols and suites: ${name}`, () => {
    const whole = { ...none, ...choice };
    assert.deepEqual(checkTlsChoice(whole), []);
    const settings = tlsSettings(whole);
    assert.deepEqual(settings, want);
    createSecureContext(settings);
  });
}

test("an excluded suite is left out, and all others stay", () => {
  const excluded = ["TLS_RSA_WITH_AES_128_CBC_SHA", "SSL_RSA_WITH_RC4_128_MD5", "TLS_KRB5_WITH_3DES_EDE_CBC_MD5"]; // prettier-ignore
  const choice = { ...none, excludeCipherSuites: excluded };
  assert.deepEqual(checkTlsChoice(choice), []);
  const names = tlsSettings(choice).ciphers?.split(":") ?? [];
  assert.equal(names.length, cipherSuites.size - 1);
  assert.ok(!names.includes("AES128-SHA"));
  createSecureContext(tlsSettings(choice));
});

test("every suite of the table is one that Node has", () => {
  const here = new Set(getCiphers().map((name) => name.toUpperCase()));
  for (const openssl of cipherSuites.values()) assert.ok(here.has(openssl.toUpperCase()), openssl);
});

const refusals: readonly {
  name: string;
  choice: Partial<TlsChoice>;
  key: string;
  message: RegExp;
}[] = [
  { name: "a name that is none", choice: { includeProtocols: ["TLS1.2"] }, key: "include-protocols", message: /"TLS1\.2" is no TLS version that is known; did you mean TLSv1\.2\?/ }, // prettier-ignore
  { name: "a name that is near none", choice: { excludeProtocols: ["quic"] }, key: "exclude-protocols", message: /"quic" is no TLS version that is known$/ }, // prettier-ignore
  { name: "names with commas", choice: { includeProtocols: ["TLSv1.2,TLSv1.3"] }, key: "include-protocols", message: /separate the names by spaces/ }, // prettier-ignore
  { name: "an unsafe version alone", choice: { includeProtocols: ["TLSv1"] }, key: "include-protocols", message: /no TLS version is left; TLSv1 is unsafe and never on; take TLSv1\.2 or TLSv1\.3/ }, // prettier-ignore
  { name: "all versions excluded", choice: { excludeProtocols: ["TLSv1.2", "TLSv1.3"] }, key: "exclude-protocols", message: /no TLS version is left; take/ }, // prettier-ignore
  { name: "a suite with a slip", choice: { includeCipherSuites: ["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA265"] }, key: "include-cipher-suites", message: /did you mean TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\?/ }, // prettier-ignore
  { name: "an unknown suite to leave out", choice: { excludeCipherSuites: ["FAST"] }, key: "exclude-cipher-suites", message: /"FAST" is no cipher suite/ }, // prettier-ignore
  { name: "suites of which none is here", choice: { includeCipherSuites: ["SSL_RSA_WITH_RC4_128_MD5"] }, key: "include-cipher-suites", message: /no cipher suite is left for TLSv1\.2 and TLSv1\.3/ }, // prettier-ignore
  { name: "suites of another version", choice: { includeProtocols: ["TLSv1.3"], includeCipherSuites: ["TLS_RSA_WITH_AES_128_CBC_SHA"] }, key: "include-cipher-suites", message: /no cipher suite is left for TLSv1\.3/ }, // prettier-ignore
  { name: "all suites excluded", choice: { excludeCipherSuites: [...cipherSuites.keys()] }, key: "exclude-cipher-suites", message: /no cipher suite is left/ }, // prettier-ignore
];
for (const { name, choice, key, message } of refusals) {
  test(`protocols and suites are refused: ${name}`, () => {
    const [problem, ...more] = checkTlsChoice({ ...none, ...choice });
    assert.equal(problem?.key, key);
    assert.match(problem?.message ?? "", message);
    assert.deepEqual(more, []);
  });
}
