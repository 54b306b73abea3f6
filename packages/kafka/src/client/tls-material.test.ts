import { systemRuntime } from "@millrace/core";
import { tempDirectory, testTls, writeTestStores } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createSecureContext } from "node:tls";
import { readConnection, type TlsProperties } from "../properties/connection-properties.ts";
import { PropertyReader } from "../properties/property-reader.ts";
import { readTls } from "./tls-material.ts";

function tlsOf(properties: Record<string, string>): TlsProperties {
  const given = new Map(Object.entries({ "security.protocol": "SSL", ...properties }));
  const reader = new PropertyReader("kafka.consumer", given);
  const { tls } = readConnection(reader, { requestTimeoutMs: 1 });
  assert.deepEqual([reader.problems, reader.unknown()], [[], []]);
  assert.ok(tls !== undefined);
  return tls;
}

void test("stores of every type, and PEM in the properties themselves, become one of Node's", async (t) => {
  const { client, trust, password } = await writeTestStores(await tempDirectory(t));
  const folded = (pem: string): string => pem.trim().replaceAll("\n", "\\n");
  const { authority, client: own } = testTls();
  const cases: Record<string, string>[] = [
    { "ssl.truststore.location": trust.jks, "ssl.keystore.location": client.jks },
    { "ssl.truststore.location": trust.p12, "ssl.keystore.location": client.p12 },
    {
      "ssl.truststore.certificates": folded(authority.certificatePem),
      "ssl.keystore.certificate.chain": folded(own.certificatePem),
      "ssl.keystore.key": folded(own.keyPem),
    },
  ];
  for (const properties of cases) {
    const passwords = { "ssl.truststore.password": password, "ssl.keystore.password": password };
    const options = await readTls(tlsOf({ ...properties, ...passwords }), systemRuntime);
    assert.match(String(options.ca), /BEGIN CERTIFICATE/);
    assert.match(String(options.key), /BEGIN .*PRIVATE KEY/);
    createSecureContext(options);
    assert.equal(options.checkServerIdentity, undefined, "the broker's name is checked");
  }
  const unchecked = tlsOf({ "ssl.disableTLSHostnameVerification": "true" });
  const { checkServerIdentity } = await readTls(unchecked, systemRuntime);
  assert.equal(checkServerIdentity?.("any", {} as never), undefined);
});

void test("a store that cannot be read is TLS_STORE_INVALID, half a key too", async () => {
  const missing = tlsOf({ "ssl.truststore.location": "/does/not/exist.jks" });
  await assert.rejects(readTls(missing, systemRuntime), { code: "TLS_STORE_INVALID" });
  const half = tlsOf({ "ssl.keystore.key": "-----BEGIN PRIVATE KEY-----" });
  await assert.rejects(readTls(half, systemRuntime), { code: "TLS_STORE_INVALID" });
});
