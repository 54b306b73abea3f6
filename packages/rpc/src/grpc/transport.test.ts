/** TLS and address rules under gRPC; the stores' kinds and failures are held on the Avro wire. */
import type { MillraceError } from "@millrace/core";
import { EventBatch, systemClock } from "@millrace/core";
import {
  createCollectingLog,
  numberedBatch,
  tempDirectory,
  testTls,
  waitFor,
  within,
  writeKeyFiles,
  writeTestStores,
  writeTrustFiles,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { test, type TestContext } from "node:test";
import { connect as connectTls } from "node:tls";
import { type ClientTls, plainClient, type ServerTls, type ServerTransport } from "../tcp/security.ts"; // prettier-ignore
import type { EventClientOptions } from "../wire/event-client.ts";
import { createGrpcClient } from "./client.ts";
import { createGrpcServer } from "./server.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const all = {
  includeProtocols: [],
  excludeProtocols: [],
  includeCipherSuites: [],
  excludeCipherSuites: [],
};

async function serve(t: TestContext, transport: ServerTransport) {
  let events = 0;
  const failures: string[] = [];
  const refused: string[] = [];
  const server = createGrpcServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log: createCollectingLog(),
    transport,
    handler: (batch) => {
      events += batch.length;
      return Promise.resolve("OK");
    },
    observer: {
      tlsFailed: (reason) => failures.push(reason),
      connectionRefused: (why) => refused.push(why),
    },
  });
  await server.start(never);
  t.after(() => server.stop(now));
  return {
    port: server.port,
    failures,
    refused,
    get events() {
      return events;
    },
  };
}

function clientOf(t: TestContext, port: number, tls: ClientTls, host = "127.0.0.1") {
  const options: EventClientOptions = {
    host,
    port,
    connectTimeoutMs: 5000,
    requestTimeoutMs: 5000,
    maxFrameBytes: 1 << 20,
    transport: { ...plainClient, tls },
    clock: systemClock,
    log: createCollectingLog(),
  };
  const client = createGrpcClient(options);
  t.after(() => client.close());
  return client;
}

async function stores(t: TestContext) {
  const directory = await tempDirectory(t);
  const made = await writeTestStores(directory);
  const server: ServerTls = {
    ...all,
    keystore: { path: made.server.pem, keyPath: made.server.keyPem, type: "PEM" },
    clientAuth: "none",
  };
  const client: ClientTls = {
    ...all,
    truststore: { path: made.trust.pem, type: "PEM" },
    trustAll: false,
    verifyHostName: true,
  };
  return { directory, made, server, client, password: made.password };
}

const plain = { compression: "none" } as const;

test("batches go over TLS, also large ones and many", async (t) => {
  const { server, client: tls } = await stores(t);
  const served = await serve(t, { ...plain, tls: server });
  const client = clientOf(t, served.port, tls, "localhost");
  await client.connect();
  await client.appendBatch(EventBatch.fromEvents([{ body: Buffer.alloc(3_000_000, 1) }]));
  await Promise.all(Array.from({ length: 20 }, () => client.appendBatch(numberedBatch(1, 1000))));
  assert.equal(served.events, 20_001);
  assert.deepEqual(served.failures, []);
});

test("mutual TLS takes the client's certificate from PKCS12, and turns away who has none", async (t) => {
  const { server, client, made, password } = await stores(t);
  const truststore = { path: made.trust.jks, type: "JKS", password } as const;
  const served = await serve(t, {
    ...plain,
    tls: { ...server, truststore, clientAuth: "required" },
  });
  const keystore = { path: made.client.p12, type: "PKCS12", password } as const;
  const known = clientOf(t, served.port, { ...client, keystore });
  await known.connect();
  await known.appendBatch(numberedBatch(1, 3));
  assert.equal(served.events, 3);
  // TLS 1.3 tells the client only after its side of the handshake is over.
  const unknown = clientOf(t, served.port, client);
  await assert.rejects(within("the refusal", unknown.connect()), (error: MillraceError) => {
    assert.match(error.code, /^RPC_(TLS_FAILED|CONNECT_FAILED)$/);
    assert.match(error.message, /certificate.*required.*keystore/i);
    return true;
  });
  await waitFor("the failure to be counted", () => served.failures.length > 0);
  assert.ok(served.failures.every((reason) => reason === "client_certificate"));
});

test("a certificate of another host is RPC_TLS_FAILED that names both; serverName and the switch help", async (t) => {
  const { directory, server, client } = await stores(t);
  const { authority } = testTls();
  const other = await writeKeyFiles(
    directory,
    "other",
    authority.issue({ commonName: "other", hosts: ["collector.example"] }),
  );
  const served = await serve(t, {
    ...plain,
    tls: { ...server, keystore: { path: other.pem, keyPath: other.keyPem, type: "PEM" } },
  });
  await assert.rejects(clientOf(t, served.port, client).connect(), {
    code: "RPC_TLS_FAILED",
    message: /not for 127\.0\.0\.1 but for .*collector\.example.*serverName/,
  });
  for (const helps of [
    { serverName: "collector.example" },
    { verifyHostName: false },
    { trustAll: true },
  ]) {
    const helped = clientOf(t, served.port, { ...client, ...helps });
    await helped.connect();
    await helped.appendBatch(numberedBatch(1, 1));
  }
  assert.equal(served.events, 3);
});

test("a certificate of a stranger is RPC_TLS_FAILED that says what to do", async (t) => {
  const { directory, server, client } = await stores(t);
  const trust = await writeTrustFiles(directory, "stranger", [testTls().stranger]);
  const served = await serve(t, { ...plain, tls: server });
  const truststore = { path: trust.pem, type: "PEM" } as const;
  await assert.rejects(clientOf(t, served.port, { ...client, truststore }).connect(), {
    code: "RPC_TLS_FAILED",
    message: /put its issuer into .*stranger/,
  });
});

test("TLS to a server without it, and the other way round, say so", async (t) => {
  const { server, client: tls } = await stores(t);
  const plainServed = await serve(t, plain);
  await assert.rejects(clientOf(t, plainServed.port, tls).connect(), {
    code: "RPC_TLS_FAILED",
    message: /ssl/,
  });
  assert.deepEqual(plainServed.failures, ["tls_unexpected"]);
  const served = await serve(t, { ...plain, tls: server });
  const session = connectHttp2(`http://127.0.0.1:${served.port}`);
  session.on("error", () => {});
  t.after(() => session.destroy());
  await waitFor("the failure to be counted", () => served.failures.length === 1);
  assert.deepEqual(served.failures, ["not_tls"]);
});

test("h2 is agreed on by ALPN, which clients of other languages insist on", async (t) => {
  const { server } = await stores(t);
  const served = await serve(t, { ...plain, tls: server });
  const ca = testTls().authority.certificatePem;
  const socket = connectTls({
    host: "127.0.0.1",
    port: served.port,
    ca,
    ALPNProtocols: ["h2", "http/1.1"],
  });
  t.after(() => socket.destroy());
  await within("the handshake", once(socket, "secureConnect"));
  assert.equal(socket.alpnProtocol, "h2");
});

test("an address that the rules deny is refused", async (t) => {
  const served = await serve(t, { ...plain, ipFilterRules: "deny:ip:127.*" });
  const session = connectHttp2(`http://127.0.0.1:${served.port}`);
  session.on("error", () => {});
  await within("the end", once(session, "close"));
  assert.deepEqual(served.refused, ["ipFilter"]);
});
