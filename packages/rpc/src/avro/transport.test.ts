import { EventBatch, type ErrorCode, MillraceError, systemClock } from "@millrace/core";
import {
  createCollectingLog,
  createFakeClock,
  tempDirectory,
  testTls,
  waitFor,
  within,
  writeKeyFiles,
  writeTestStores,
  writeTrustFiles,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { test, type TestContext } from "node:test";
import { connect as connectTls } from "node:tls";
import { connectStream } from "../tcp/connect.ts";
import { type ClientTls, plainClient, type ServerTls, type ServerTransport } from "../tcp/security.ts"; // prettier-ignore
import type { TlsFailureReason } from "../tcp/tls-failure.ts";
import type { EventClientOptions } from "../wire/event-client.ts";
import type { EventServerOptions } from "../wire/event-server.ts";
import { encodeCall } from "./call.ts";
import { createAvroClient } from "./client.ts";
import { firstHandshake } from "./handshake.ts";
import { createAvroServer } from "./server.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const events = (...bodies: string[]): EventBatch =>
  EventBatch.fromEvents(bodies.map((body) => ({ body: Buffer.from(body) })));
const all = {
  includeProtocols: [],
  excludeProtocols: [],
  includeCipherSuites: [],
  excludeCipherSuites: [],
};

async function serve(
  t: TestContext,
  transport: ServerTransport,
  options: Partial<EventServerOptions> = {},
) {
  const log = createCollectingLog();
  const bodies: string[] = [];
  const failures: { reason: TlsFailureReason; message: string; code: ErrorCode }[] = [];
  const malformed: MillraceError[] = [];
  const refused: string[] = [];
  const server = createAvroServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log,
    transport,
    handler: (batch) => {
      for (const { body } of batch) bodies.push(body.toString("latin1"));
      return Promise.resolve("OK");
    },
    observer: {
      tlsFailed: (reason, { code, message }) => failures.push({ reason, code, message }),
      requestMalformed: (error) => malformed.push(error),
      connectionRefused: (why) => refused.push(String(why)),
    },
    ...options,
  });
  await server.start(never);
  t.after(() => server.stop(now));
  return { server, port: server.port, log, bodies, failures, malformed, refused };
}

function clientOf(
  t: TestContext,
  port: number,
  transport: EventClientOptions["transport"] = plainClient,
  options: Partial<EventClientOptions> = {},
) {
  const client = createAvroClient({
    host: "127.0.0.1",
    port,
    connectTimeoutMs: 5000,
    requestTimeoutMs: 5000,
    maxFrameBytes: 1 << 24,
    clock: systemClock,
    log: createCollectingLog(),
    transport,
    ...options,
  });
  t.after(() => client.close());
  return client;
}

async function setUp(t: TestContext) {
  const files = await writeTestStores(await tempDirectory(t));
  const { password } = files;
  const serverTls: ServerTls = {
    ...all,
    keystore: { path: files.server.p12, type: "JKS", password },
    clientAuth: "none",
  };
  const clientTls: ClientTls = {
    ...all,
    truststore: { path: files.trust.jks, type: "JKS", password },
    trustAll: false,
    verifyHostName: true,
  };
  return { files, serverTls, clientTls };
}

/** Connects and sends; the error of whichever fails. */
async function attempt(client: ReturnType<typeof clientOf>): Promise<MillraceError> {
  try {
    await client.connect();
    await client.appendBatch(events("a"));
  } catch (error) {
    assert.ok(error instanceof MillraceError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: "the call went through" });
}

function assertCode({ code, message }: MillraceError, ...codes: ErrorCode[]): void {
  assert.ok(codes.includes(code), `${code}: ${message}`);
}

const deflateServer: ServerTransport = { compression: "deflate" };
const deflateClient = { ...plainClient, compression: "deflate" } as const;

for (const [level, rows] of [
  [0, "T071, T098, T104, T108"],
  [1, "T072, T099"],
  [6, "T073, T100, T103, T109, T123"],
  [9, "T074, T101"],
] as const) {
  test(`deflate at level ${level} carries single events and batches (${rows})`, async (t) => {
    const { port, bodies } = await serve(t, deflateServer);
    const client = clientOf(t, port, { ...deflateClient, compressionLevel: level });
    await client.connect();
    await client.append(events("one"));
    const noise = randomBytes(200_000).toString("latin1");
    const large = EventBatch.fromEvents([
      { body: Buffer.from(noise, "latin1") },
      { body: Buffer.alloc(300_000, 1) },
    ]);
    await Promise.all([client.appendBatch(large), client.appendBatch(events("two", "three"))]);
    assert.deepEqual(bodies, ["one", noise, "\x01".repeat(300_000), "two", "three"]);
  });
}

for (const outermost of ["deflate", "tls"] as const) {
  const version = outermost === "tls" ? "1.9" : "1.10";
  test(`TLS and deflate together are served as Flume ${version} lays them (T094)`, async (t) => {
    const { serverTls, clientTls } = await setUp(t);
    const { port, bodies } = await serve(t, { ...deflateServer, tls: serverTls });
    const client = clientOf(t, port, { ...deflateClient, tls: clientTls, outermost });
    await client.connect();
    const large = "x".repeat(400_000);
    await client.append(events("one"));
    await client.appendBatch(events("two", large));
    assert.deepEqual(bodies, ["one", "two", large]);
  });

  test(`a client lays TLS and deflate as Flume ${version} by its first byte`, async (t) => {
    const { clientTls } = await setUp(t);
    const first = await new Promise<Buffer>((resolve, reject) => {
      const server = createServer((socket) => {
        socket.on("error", () => {});
        socket.once("data", (chunk) => {
          resolve(chunk);
          socket.destroy();
          server.close();
        });
      });
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as { port: number };
        const transport = { ...deflateClient, tls: clientTls, outermost } as const;
        clientOf(t, port, transport)
          .connect()
          .then(reject, () => {});
      });
    });
    assert.equal(first.subarray(0, 2).toString("hex"), outermost === "tls" ? "1603" : "789c");
  });
}

test("TLS carries calls with a keystore and a truststore of the component (T077, T090)", async (t) => {
  const { serverTls, clientTls, files } = await setUp(t);
  for (const keystore of [
    { path: files.server.jks, type: "JKS", password: files.password },
    { path: files.server.p12, type: "PKCS12", password: files.password },
    { path: files.server.pem, type: "PEM", keyPath: files.server.keyPem },
  ] as const) {
    const { port, bodies, log } = await serve(t, {
      compression: "none",
      tls: { ...serverTls, keystore },
    });
    const client = clientOf(t, port, { ...plainClient, tls: clientTls });
    await client.connect();
    await client.appendBatch(events("a".repeat(500_000), "b"));
    assert.equal(bodies.length, 2);
    assert.deepEqual(log.lines, []);
  }
});

test("a JKS truststore needs no password (T091)", async (t) => {
  const { serverTls, clientTls, files } = await setUp(t);
  const { port, bodies } = await serve(t, { compression: "none", tls: serverTls });
  const truststore = { path: files.trust.jks, type: "JKS" } as const;
  const client = clientOf(t, port, { ...plainClient, tls: { ...clientTls, truststore } });
  await client.connect();
  await client.append(events("a"));
  assert.deepEqual(bodies, ["a"]);
});

test("trust-all-certs takes any certificate of any name (T089)", async (t) => {
  const { serverTls, clientTls } = await setUp(t);
  const { port, bodies } = await serve(t, { compression: "none", tls: serverTls });
  const { truststore: _, ...noStore } = clientTls;
  const tls = { ...noStore, trustAll: true, serverName: "another.example" };
  const client = clientOf(t, port, { ...plainClient, tls });
  await client.connect();
  await client.append(events("a"));
  assert.deepEqual(bodies, ["a"]);
});

test("a certificate that is not trusted is refused, with its name and what to do (T096)", async (t) => {
  const { serverTls, clientTls } = await setUp(t);
  const { port, bodies, failures } = await serve(t, { compression: "none", tls: serverTls });
  const strangers = await writeTrustFiles(await tempDirectory(t), "s", [testTls().stranger]);
  const truststore = { path: strangers.pem, type: "PEM" } as const;
  const error = await attempt(clientOf(t, port, { ...plainClient, tls: { ...clientTls, truststore } })); // prettier-ignore
  assertCode(error, "RPC_TLS_FAILED");
  assert.match(error.message, /no TLS with 127\.0\.0\.1:\d+: its certificate, CN=server \(issued by CN=Millrace test authority\), is not accepted: nobody in the truststore has signed it; put its issuer into .*s\.pem/); // prettier-ignore
  assert.deepEqual(bodies, []);
  assert.ok(failures.every(({ reason }) => reason === "closed" || reason === "alert"));
});

test("a certificate in the truststore itself is believed, as in Java", async (t) => {
  const { serverTls, clientTls, files } = await setUp(t);
  const { port, bodies } = await serve(t, { compression: "none", tls: serverTls });
  const path = `${files.trust.pem}.leaf`;
  await writeFile(path, testTls().server.certificatePem);
  const tls = { ...clientTls, truststore: { path, type: "PEM" } as const };
  const client = clientOf(t, port, { ...plainClient, tls });
  await client.connect();
  await client.append(events("a"));
  assert.deepEqual(bodies, ["a"]);
});

test("an expired certificate is refused by the client, which says so", async (t) => {
  const { clientTls, serverTls } = await setUp(t);
  const { authority } = testTls();
  const directory = await tempDirectory(t);
  const old = authority.issue({ commonName: "old", validFromDays: -9, validToDays: -1 });
  const { pem, keyPem } = await writeKeyFiles(directory, "old", old);
  const keystore = { path: pem, type: "PEM", keyPath: keyPem } as const;
  const thenClock = { ...systemClock, now: () => systemClock.now() - 3 * 86_400_000 };
  const { port } = await serve(
    t,
    { compression: "none", tls: { ...serverTls, keystore } },
    { clock: thenClock },
  );
  const error = await attempt(clientOf(t, port, { ...plainClient, tls: clientTls }));
  assertCode(error, "RPC_TLS_FAILED");
  assert.match(error.message, /CN=old .* is not accepted: it has expired/);
});

test("a certificate for another host is refused unless verifyHostname is off or serverName names it", async (t) => {
  const { clientTls, serverTls } = await setUp(t);
  const directory = await tempDirectory(t);
  const other = testTls().authority.issue({ commonName: "o", hosts: ["collector.example", "10.1.1.1"] }); // prettier-ignore
  const { pem, keyPem } = await writeKeyFiles(directory, "other", other);
  const keystore = { path: pem, type: "PEM", keyPath: keyPem } as const;
  const { port, bodies } = await serve(t, { compression: "none", tls: { ...serverTls, keystore } });
  const error = await attempt(clientOf(t, port, { ...plainClient, tls: clientTls }));
  assertCode(error, "RPC_TLS_FAILED");
  assert.match(error.message, /CN=o .* is not for 127\.0\.0\.1 but for collector\.example, 10\.1\.1\.1; set serverName to one of these, or verifyHostname = false/); // prettier-ignore
  for (const change of [{ verifyHostName: false }, { serverName: "collector.example" }]) {
    const client = clientOf(t, port, { ...plainClient, tls: { ...clientTls, ...change } });
    await client.connect();
    await client.append(events("a"));
  }
  assert.deepEqual(bodies, ["a", "a"]);
});

test("the certificate is asked by the host's name when there is one", async (t) => {
  const { clientTls, serverTls } = await setUp(t);
  const { port, bodies } = await serve(t, { compression: "none", tls: serverTls });
  const client = clientOf(t, port, { ...plainClient, tls: clientTls }, { host: "localhost" });
  await client.connect();
  await client.append(events("a"));
  assert.deepEqual(bodies, ["a"]);
});

test("clientAuth required serves a client whose certificate is signed, and no other", async (t) => {
  const { serverTls, clientTls, files } = await setUp(t);
  const { password } = files;
  const truststore = { path: files.trust.p12, type: "PKCS12", password } as const;
  const { port, bodies, failures } = await serve(t, {
    compression: "none",
    tls: { ...serverTls, clientAuth: "required", truststore },
  });
  const keystore = { path: files.client.jks, type: "JKS", password } as const;
  const good = clientOf(t, port, { ...plainClient, tls: { ...clientTls, keystore } });
  await good.connect();
  await good.append(events("a"));

  const without = await attempt(clientOf(t, port, { ...plainClient, tls: clientTls }));
  assertCode(without, "RPC_TLS_FAILED", "RPC_CONNECTION_LOST");
  assert.match(without.message, /certificate_required.*keystore/);

  const strange = testTls().stranger.issue({ commonName: "strange" });
  const own = await writeKeyFiles(await tempDirectory(t), "strange", strange);
  const strangeKey = { path: own.pem, keyPath: own.keyPem, type: "PEM" } as const;
  const bad = await attempt(clientOf(t, port, { ...plainClient, tls: { ...clientTls, keystore: strangeKey } })); // prettier-ignore
  assertCode(bad, "RPC_TLS_FAILED", "RPC_CONNECTION_LOST");

  await waitFor("both failures", () => failures.length === 2);
  assert.deepEqual(failures.map(({ reason }) => reason), ["client_certificate", "client_certificate"]); // prettier-ignore
  assert.match(failures[0]?.message ?? "", /a client has sent no certificate, and clientAuth = required/); // prettier-ignore
  assert.match(failures[1]?.message ?? "", /a client's certificate, CN=strange \(issued by CN=A stranger\), is not accepted: nobody in the truststore has signed it/); // prettier-ignore
  await good.append(events("b"));
  assert.deepEqual(bodies, ["a", "b"]);
});

test("clientAuth wanted serves a client without a certificate, not one with a bad one", async (t) => {
  const { serverTls, clientTls, files } = await setUp(t);
  const { password } = files;
  const truststore = { path: files.trust.jks, type: "JKS", password } as const;
  const { port, bodies, failures } = await serve(t, {
    compression: "none",
    tls: { ...serverTls, clientAuth: "wanted", truststore },
  });
  const without = clientOf(t, port, { ...plainClient, tls: clientTls });
  await without.connect();
  await without.append(events("a"));
  const strange = testTls().stranger.issue({ commonName: "strange" });
  const own = await writeKeyFiles(await tempDirectory(t), "strange", strange);
  const keystore = { path: own.pem, keyPath: own.keyPem, type: "PEM" } as const;
  await attempt(clientOf(t, port, { ...plainClient, tls: { ...clientTls, keystore } }));
  await waitFor("the failure", () => failures.length === 1);
  assert.equal(failures[0]?.reason, "client_certificate");
  assert.deepEqual(bodies, ["a"]);
});

test("sides without a TLS version in common both say so", async (t) => {
  const { serverTls, clientTls } = await setUp(t);
  const { port, failures } = await serve(t, {
    compression: "none",
    tls: { ...serverTls, includeProtocols: ["TLSv1.3"] },
  });
  const tls = { ...clientTls, excludeProtocols: ["TLSv1.3"] };
  const error = await attempt(clientOf(t, port, { ...plainClient, tls }));
  assertCode(error, "RPC_TLS_FAILED");
  assert.match(error.message, /no TLS version or cipher suite in common/);
  await waitFor("the failure", () => failures.length === 1);
  assert.equal(failures[0]?.reason, "no_common_ground");
});

test("sides without a cipher suite in common both say so", async (t) => {
  const { serverTls, clientTls } = await setUp(t);
  const includeCipherSuites = ["TLS_AES_256_GCM_SHA384"];
  const { port, failures } = await serve(t, {
    compression: "none",
    tls: { ...serverTls, includeCipherSuites },
  });
  const tls = { ...clientTls, excludeCipherSuites: includeCipherSuites };
  const error = await attempt(clientOf(t, port, { ...plainClient, tls }));
  assert.match(error.message, /no TLS version or cipher suite in common/);
  await waitFor("the failure", () => failures.length === 1);
  assert.equal(failures[0]?.reason, "no_common_ground");
});

const mismatches: readonly {
  name: string;
  server: ("tls" | "deflate")[];
  client: ("tls" | "deflate")[];
  outermost?: "tls" | "deflate";
  counted: TlsFailureReason | "malformed";
  says: RegExp;
}[] = [
  { name: "a plain client at a deflate server (T075, T106, T110)", server: ["deflate"], client: [], counted: "malformed", says: /a client seems to have ssl = false, compression-type = none where this side has ssl = false, compression-type = deflate \(what it sent begins with 00000001\); set both alike/ }, // prettier-ignore
  { name: "a deflate client at a plain server (T076, T105, T111)", server: [], client: ["deflate"], counted: "malformed", says: /compression-type = deflate where this side has ssl = false, compression-type = none/ }, // prettier-ignore
  { name: "a TLS client at a plain server (T095)", server: [], client: ["tls"], counted: "tls_unexpected", says: /a client seems to have ssl = true where this side has ssl = false/ }, // prettier-ignore
  { name: "a plain client at a TLS server", server: ["tls"], client: [], counted: "not_tls", says: /seems to have ssl = false, compression-type = none where this side has ssl = true/ }, // prettier-ignore
  { name: "a TLS client at a deflate server", server: ["deflate"], client: ["tls"], counted: "tls_unexpected", says: /seems to have ssl = true where this side has ssl = false, compression-type = deflate/ }, // prettier-ignore
  { name: "a deflate client at a TLS server", server: ["tls"], client: ["deflate"], counted: "malformed", says: /seems to have compression-type = deflate where this side has ssl = true, compression-type = none/ }, // prettier-ignore
  { name: "a TLS client at a server with both", server: ["tls", "deflate"], client: ["tls"], counted: "malformed", says: /seems to have ssl = true, compression-type = none where this side has ssl = true, compression-type = deflate/ }, // prettier-ignore
  { name: "a deflate client at a server with both", server: ["tls", "deflate"], client: ["deflate"], counted: "not_tls", says: /seems to have ssl = false, compression-type = deflate where/ }, // prettier-ignore
  { name: "a client with both, as 1.10, at a deflate server", server: ["deflate"], client: ["tls", "deflate"], counted: "tls_unexpected", says: /seems to have ssl = true, compression-type = deflate where/ }, // prettier-ignore
  { name: "a client with both, as 1.9, at a TLS server", server: ["tls"], client: ["tls", "deflate"], outermost: "tls", counted: "malformed", says: /seems to have ssl = true, compression-type = deflate where/ }, // prettier-ignore
];
for (const { name, server, client, outermost = "deflate", counted, says } of mismatches) {
  test(`${name}: the call fails, and one line names both sides' settings`, async (t) => {
    const { serverTls, clientTls } = await setUp(t);
    const compression = (layers: string[]) => (layers.includes("deflate") ? "deflate" : "none");
    const { port, failures, malformed, log, bodies } = await serve(t, {
      compression: compression(server),
      ...(server.includes("tls") ? { tls: serverTls } : {}),
    });
    const error = await attempt(
      clientOf(t, port, {
        ...plainClient,
        outermost,
        compression: compression(client),
        ...(client.includes("tls") ? { tls: clientTls } : {}),
      }),
    );
    const inTls = client.includes("tls") && !server.includes("tls");
    assertCode(error, inTls ? "RPC_TLS_FAILED" : "RPC_CONNECTION_LOST");
    await waitFor("the count", () => failures.length + malformed.length > 0);
    if (counted === "malformed") {
      assert.deepEqual(malformed.map(({ code }) => code), ["FRAME_MALFORMED"]); // prettier-ignore
      assert.deepEqual(failures, []);
    } else {
      assert.deepEqual(failures.map(({ reason }) => reason), [counted]); // prettier-ignore
      assert.deepEqual(malformed, []);
      assert.equal(failures[0]?.code, "TLS_HANDSHAKE_FAILED");
    }
    const warnings = log.lines.filter(({ level }) => level === "warn");
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]?.message ?? "", says);
    assert.match(String(warnings[0]?.detail["peer"]), /^127\.0\.0\.1:\d+$/);
    assert.deepEqual(bodies, []);
  });
}

test("a deflate client at a TLS port of another program is told what to look at", async (t) => {
  const { clientTls } = await setUp(t);
  const { port } = await serve(t, { compression: "none" });
  const error = await attempt(clientOf(t, port, { ...plainClient, tls: clientTls }));
  assert.match(error.message, /it hung up during the handshake .*: it may have ssl = false, another compression-type, or the other tlsLayering/); // prettier-ignore
});

test("the connect timeout covers the TLS handshake", async (t) => {
  const { clientTls } = await setUp(t);
  let heard = 0;
  const silent = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => heard++);
  });
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  t.after(() => silent.close());
  const { port } = silent.address() as { port: number };
  const tls = { ...plainClient, tls: clientTls };
  const clock = createFakeClock(systemClock.now());
  const late = clientOf(t, port, tls, { connectTimeoutMs: 100, clock }).connect();
  const refusal = assert.rejects(late, {
    code: "RPC_TLS_FAILED",
    message: /no answer within 100 ms: it may have ssl = false/,
  });
  await waitFor("its first record", () => heard === 1);
  await clock.advance(100);
  await within("the timeout", refusal);
  const closing = clientOf(t, port, tls);
  const connecting = closing.connect();
  await waitFor("the other's first record", () => heard === 2);
  closing.close("told to");
  await assert.rejects(connecting, { code: "RPC_CONNECT_FAILED", message: /told to/ });
});

test("a client whose store cannot be read says so, and may try again", async (t) => {
  const { clientTls, serverTls } = await setUp(t);
  const { port } = await serve(t, { compression: "none", tls: serverTls });
  const truststore = { path: "/none/trust.jks", type: "JKS" } as const;
  const error = await attempt(clientOf(t, port, { ...plainClient, tls: { ...clientTls, truststore } })); // prettier-ignore
  assertCode(error, "RPC_TLS_FAILED");
  assert.equal(error.answer, "retry");
  assert.match(error.message, /truststore \/none\/trust\.jks does not exist/);
});

test("a server whose store cannot be read does not start", async (t) => {
  const { serverTls } = await setUp(t);
  const keystore = { path: "/none/key.jks", type: "JKS" } as const;
  const server = createAvroServer({
    ...{ host: "127.0.0.1", port: 0, clock: systemClock, log: createCollectingLog() },
    handler: () => Promise.resolve("OK"),
    transport: { compression: "none", tls: { ...serverTls, keystore } },
  });
  await assert.rejects(server.start(never), { code: "TLS_STORE_INVALID", message: /keystore \/none\/key\.jks does not exist/ }); // prettier-ignore
});

for (const layers of ["plain", "deflate", "tls", "1.10", "1.9"] as const) {
  test(`half-open over ${layers}: a client that ends its side gets the answers still`, async (t) => {
    const { serverTls, clientTls } = await setUp(t);
    let answer: (() => void) | undefined;
    const deflated = layers !== "plain" && layers !== "tls";
    const secure = layers !== "plain" && layers !== "deflate";
    const { port, server } = await serve(
      t,
      { compression: deflated ? "deflate" : "none", ...(secure ? { tls: serverTls } : {}) },
      { handler: () => new Promise((resolve) => (answer = () => resolve("OK"))) },
    );
    const stream = await connectStream({
      ...{ host: "127.0.0.1", port, connectTimeoutMs: 5000, clock: systemClock },
      log: createCollectingLog(),
      transport: {
        ...plainClient,
        compression: deflated ? "deflate" : "none",
        outermost: layers === "1.9" ? "tls" : "deflate",
        ...(secure ? { tls: clientTls } : {}),
      },
      giveUp: never,
    });
    stream.allowHalfOpen = true;
    const received: Buffer[] = [];
    let ended = false;
    stream.on("data", (chunk: Buffer) => received.push(chunk));
    stream.on("end", () => (ended = true));
    stream.cork();
    for (const buffer of encodeCall(1, firstHandshake, "append", events("a"))) stream.write(buffer);
    stream.end();
    await waitFor("the call", () => answer !== undefined);
    answer?.();
    await waitFor("the reply and the end", () => ended);
    assert.ok(Buffer.concat(received).length > 8);
    assert.equal(Buffer.concat(received).readUInt32BE(0), 1, "the serial of the call");
    await waitFor("the server to let go", () => server.connectionCount === 0);
  });

  test(`draining over ${layers}: what is in progress is answered, then the connection ends`, async (t) => {
    const { serverTls, clientTls } = await setUp(t);
    let answer: (() => void) | undefined;
    const deflated = layers !== "plain" && layers !== "tls";
    const secure = layers !== "plain" && layers !== "deflate";
    const { port, server } = await serve(
      t,
      { compression: deflated ? "deflate" : "none", ...(secure ? { tls: serverTls } : {}) },
      { handler: () => new Promise((resolve) => (answer = () => resolve("OK"))) },
    );
    const client = clientOf(t, port, {
      ...plainClient,
      compression: deflated ? "deflate" : "none",
      outermost: layers === "1.9" ? "tls" : "deflate",
      ...(secure ? { tls: clientTls } : {}),
    });
    await client.connect();
    const call = client.appendBatch(events("a"));
    await waitFor("the call", () => answer !== undefined);
    const stopping = server.stop(never);
    answer?.();
    await within("the answer", call);
    await within("stopping", stopping);
    await waitFor("the client to see the end", () => !client.alive);
  });
}

test("ipFilter serves whom the first matching rule allows, and closes on whom it denies (T079, T080)", async (t) => {
  const { serverTls, clientTls } = await setUp(t);
  const cases = [
    { rules: "allow:name:localhost,deny:ip:*", allowed: true },
    { rules: "allow:ip:127.0.0.1,deny:ip:*", allowed: true },
    { rules: "allow:ip:127.*,deny:ip:*", allowed: true },
    { rules: "allow:ip:*,deny:ip:127.0.0.1", allowed: true },
    { rules: "deny:ip:10.*", allowed: true },
    { rules: "deny:name:localhost,allow:ip:*", allowed: false },
    { rules: "deny:ip:127.0.0.1,allow:ip:*", allowed: false },
    { rules: "deny:ip:127.0.0.?", allowed: false },
    { rules: "deny:ip:*", allowed: false },
  ];
  for (const { rules, allowed } of cases) {
    for (const tls of [false, true]) {
      const { port, bodies, refused, log } = await serve(t, {
        compression: "none",
        ipFilterRules: rules,
        ...(tls ? { tls: serverTls } : {}),
      });
      const client = clientOf(t, port, { ...plainClient, ...(tls ? { tls: clientTls } : {}) });
      if (allowed) {
        await client.connect();
        await client.append(events("a"));
        assert.deepEqual(bodies, ["a"], rules);
      } else {
        assertCode(await attempt(client), "RPC_CONNECTION_LOST", "RPC_TLS_FAILED", "RPC_CONNECT_FAILED"); // prettier-ignore
        assert.deepEqual([bodies, refused], [[], ["ipFilter"]], rules);
        assert.match(log.lines[0]?.message ?? "", /ipFilterRules refuse 127\.0\.0\.1/);
      }
    }
  }
});

test("a refused client is closed on before it has said anything", async (t) => {
  const { port, server } = await serve(t, { compression: "none", ipFilterRules: "deny:ip:*" });
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => {});
  socket.resume();
  await within("the close", new Promise((resolve) => socket.once("close", resolve)));
  assert.equal(server.connectionCount, 0);
});

test("rules that mean nothing do not make a server", () => {
  assert.throws(
    () =>
      createAvroServer({
        ...{ host: "127.0.0.1", port: 0, clock: systemClock, log: createCollectingLog() },
        handler: () => Promise.resolve("OK"),
        transport: { compression: "none", ipFilterRules: "allow" },
      }),
    { code: "CONFIG_INVALID", message: /ipFilterRules: "allow" is no ipFilter rule/ },
  );
});

test("a certificate that is replaced is shown to new clients; a bad one is not, and that is said", async (t) => {
  const { serverTls } = await setUp(t);
  const directory = await tempDirectory(t);
  const { authority } = testTls();
  const write = (name: string, from = authority) =>
    writeKeyFiles(directory, "server", from.issue({ commonName: name }));
  const { pem, keyPem } = await write("first");
  const keystore = { path: pem, keyPath: keyPem, type: "PEM" } as const;
  const clock = createFakeClock(systemClock.now());
  const { port, log } = await serve(
    t,
    { compression: "none", tls: { ...serverTls, keystore } },
    { clock },
  );
  const shown = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({ port, host: "127.0.0.1", ca: authority.certificatePem }, () => {
        resolve(socket.getPeerCertificate().subject.CN as string);
        socket.end();
      });
      socket.on("error", reject);
    });
  assert.equal(await shown(), "first");
  await write("second, with a longer name");
  assert.equal(await shown(), "first", "not looked at before its time");
  await clock.advance(3000);
  assert.equal(await shown(), "second, with a longer name");
  await writeFile(pem, "rubbish");
  await clock.advance(3000);
  assert.equal(await shown(), "second, with a longer name");
  await rm(pem);
  await clock.advance(3000);
  assert.equal(await shown(), "second, with a longer name");
  await clock.advance(3000);
  assert.equal(await shown(), "second, with a longer name");
  await write("third");
  await clock.advance(3000);
  assert.equal(await shown(), "third");
  assert.deepEqual(
    log.lines.map(({ level, message }) => `${level}: ${message.slice(0, 75)}`),
    [
      "info: the server's certificate has changed and is in use from now on",
      "error: the server's certificate has changed and cannot be used, the old one stays:",
      "error: the server's certificate has changed and cannot be used, the old one stays:",
      "info: the server's certificate has changed and is in use from now on",
    ],
  );
});

test("a client reads its truststore again when it has changed", async (t) => {
  const { serverTls, clientTls } = await setUp(t);
  const directory = await tempDirectory(t);
  const { stranger, authority } = testTls();
  const { pem } = await writeTrustFiles(directory, "changing", [stranger]);
  const { port } = await serve(t, { compression: "none", tls: serverTls });
  const tls = { ...clientTls, truststore: { path: pem, type: "PEM" } as const };
  const clock = createFakeClock(systemClock.now());
  const client = () => clientOf(t, port, { ...plainClient, tls }, { clock });
  assertCode(await attempt(client()), "RPC_TLS_FAILED");
  await writeTrustFiles(directory, "changing", [stranger, authority]);
  assertCode(await attempt(client()), "RPC_TLS_FAILED");
  await clock.advance(3000);
  const late = client();
  await late.connect();
  await late.append(events("a"));
});

/** The first record of a client of Node's, as bytes to send again. */
async function clientHello(t: TestContext): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.once("data", resolve).on("error", () => {}));
    t.after(() => server.close());
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      const client = connectTls({ port, host: "127.0.0.1" });
      client.on("error", () => {});
      client.once("close", () => reject(new Error("no first record")));
      t.after(() => client.destroy());
    });
  });
}

for (const { alert, says } of [
  { alert: 48, says: /the alert unknown_ca; our certificate is CN=server: its issuer belongs into the client's truststore/ }, // prettier-ignore
  { alert: 20, says: /the alert bad_record_mac: Flume up to 1\.9 cannot read TLS 1\.3 .*set exclude-protocols = TLSv1\.3/ }, // prettier-ignore
]) {
  test(`a client that breaks the handshake off with alert ${alert} is counted, and told what to set`, async (t) => {
    const { serverTls } = await setUp(t);
    const { port, failures } = await serve(t, { compression: "none", tls: serverTls });
    const socket = connect(port, "127.0.0.1");
    t.after(() => socket.destroy());
    socket.on("error", () => {});
    socket.write(await clientHello(t));
    socket.once("data", () => socket.write(Buffer.from([0x15, 3, 3, 0, 2, 2, alert])));
    await waitFor("the failure", () => failures.length === 1);
    assert.equal(failures[0]?.reason, "alert");
    assert.match(failures[0]?.message ?? "", says);
  });
}
