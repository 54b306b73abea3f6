import { optionsOf } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { clientTlsOptions, clientTransport, checkClientTransport, clientCompressionOptions } from "./client-transport-options.ts"; // prettier-ignore
import {
  checkServerTransport,
  ipFilterOptions,
  serverCompressionOptions,
  serverTlsOptions,
  serverTransport,
} from "./server-transport-options.ts";

const serverOptions = { ...serverTlsOptions, ...serverCompressionOptions, ...ipFilterOptions };
const clientOptions = { ...clientTlsOptions, ...clientCompressionOptions };
const server = (given: Record<string, string>, global: Record<string, string> = {}) => {
  const values = optionsOf(serverOptions, given);
  const properties = new Map(Object.entries(global));
  assert.deepEqual(checkServerTransport(values, properties), []);
  return serverTransport(values, properties);
};
const client = (given: Record<string, string>, global: Record<string, string> = {}) => {
  const values = optionsOf(clientOptions, given);
  const properties = new Map(Object.entries(global));
  assert.deepEqual(checkClientTransport(values, properties), []);
  return clientTransport(values, properties);
};

const globals = {
  "javax.net.ssl.keyStore": "/global/key",
  "javax.net.ssl.keyStorePassword": "global",
  "javax.net.ssl.keyStoreType": "pkcs12",
  "javax.net.ssl.trustStore": "/global/trust",
  "javax.net.ssl.trustStorePassword": "global",
  "javax.net.ssl.trustStoreType": "PKCS12",
  "flume.ssl.include.protocols": "TLSv1.2,TLSv1.3",
  "flume.ssl.exclude.protocols": "TLSv1.1, TLSv1.3",
  "flume.ssl.include.cipherSuites": "TLS_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
  "flume.ssl.exclude.cipherSuites": "TLS_AES_128_GCM_SHA256",
};
const choice = {
  includeProtocols: ["TLSv1.2", "TLSv1.3"],
  excludeProtocols: ["TLSv1.1", "TLSv1.3"],
  includeCipherSuites: ["TLS_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"],
  excludeCipherSuites: ["TLS_AES_128_GCM_SHA256"],
};

test("without ssl nothing of TLS is read, whatever is set for all", () => {
  assert.deepEqual(server({ keystore: "/k" }, globals), { compression: "none" });
  assert.equal(client({ truststore: "/t" }, globals).tls, undefined);
});

test("what a source does not say is as the system properties say (T155, T156, T157, T163, T164, T165, T166)", () => {
  assert.deepEqual(server({ ssl: "true" }, globals).tls, {
    ...choice,
    keystore: { path: "/global/key", type: "PKCS12", password: "global" },
    clientAuth: "none",
  });
  const required = server({ ssl: "true", clientAuth: "required" }, globals).tls;
  assert.deepEqual(required?.truststore, { path: "/global/trust", type: "PKCS12", password: "global" }); // prettier-ignore
});

test("what a sink does not say is as the system properties say; it shows no certificate by them (T159, T160, T161)", () => {
  assert.deepEqual(client({ ssl: "true" }, globals).tls, {
    ...choice,
    truststore: { path: "/global/trust", type: "PKCS12", password: "global" },
    trustAll: false,
    verifyHostName: true,
  });
});

test("what a component says wins over the system properties", () => {
  const own = {
    ssl: "true",
    "keystore-password": "own",
    "keystore-type": "pem",
    "include-protocols": "TLSv1.3",
    "exclude-protocols": "TLSv1.1",
    "include-cipher-suites": "TLS_AES_256_GCM_SHA384",
    "exclude-cipher-suites": "TLS_RSA_WITH_AES_128_CBC_SHA",
  };
  assert.deepEqual(server({ ...own, keystore: "/own" }, globals).tls, {
    includeProtocols: ["TLSv1.3"],
    excludeProtocols: ["TLSv1.1"],
    includeCipherSuites: ["TLS_AES_256_GCM_SHA384"],
    excludeCipherSuites: ["TLS_RSA_WITH_AES_128_CBC_SHA"],
    keystore: { path: "/own", type: "PEM", password: "own" },
    clientAuth: "none",
  });
});

test("a store's type is JKS when nothing says another (T158, T162)", () => {
  assert.equal(server({ ssl: "true", keystore: "/k" }).tls?.keystore.type, "JKS");
  assert.equal(client({ ssl: "true", truststore: "/t" }).tls?.truststore?.type, "JKS");
});

test("a type for all that is none is refused where it would be used, and only there", () => {
  const properties = new Map([["javax.net.ssl.trustStoreType", "JCEKS"]]);
  const problems = (given: Record<string, string>) =>
    checkClientTransport(optionsOf(clientOptions, given), properties).map(({ key }) => key);
  assert.deepEqual(problems({ ssl: "true" }), ["truststore-type"]);
  assert.deepEqual(problems({ ssl: "true", "truststore-type": "JKS" }), []);
  assert.deepEqual(problems({ ssl: "false" }), []);
});

test("a client's own switches are read", () => {
  const all = {
    ssl: "true",
    "trust-all-certs": "true",
    truststore: "/t",
    verifyHostname: "false",
    serverName: "collector.example",
    keystore: "/k",
    "keystore-type": "PEM",
    "keystore-key": "/k.key",
    "compression-type": "deflate",
    "compression-level": "9",
    tlsLayering: "1.9",
  };
  const { tls, ...rest } = client(all);
  assert.deepEqual(rest, { compression: "deflate", compressionLevel: 9, outermost: "tls" });
  assert.equal(tls?.truststore, undefined, "it is not needed");
  assert.deepEqual(tls?.keystore, { path: "/k", type: "PEM", keyPath: "/k.key" });
  assert.deepEqual([tls?.trustAll, tls?.verifyHostName, tls?.serverName], [true, false, "collector.example"]); // prettier-ignore
  assert.deepEqual(client({}), { compression: "none", compressionLevel: 6, outermost: "deflate" });
});

test("a key without its certificate is refused", () => {
  const values = optionsOf(clientOptions, { ssl: "true", "keystore-key": "/k" });
  assert.deepEqual(
    checkClientTransport(values, new Map()).map(({ key }) => key),
    ["keystore"],
  );
});

test("address rules count only when they are switched on", () => {
  assert.equal(server({ ipFilterRules: "deny:ip:*" }).ipFilterRules, undefined);
  const on = { ipFilter: "true", ipFilterRules: "deny:ip:*" };
  assert.equal(server(on).ipFilterRules, "deny:ip:*");
  const bare = { ssl: false } as Parameters<typeof serverTransport>[0];
  assert.deepEqual(serverTransport(bare, new Map()), { compression: "none" }, "a wire without any");
});
