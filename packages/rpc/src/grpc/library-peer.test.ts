/**
 * Clients and servers that the library makes of the .proto files alone, as other languages do, against
 * ours: what the files say is what we speak.
 */
import {
  type ChannelCredentials,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServiceClientConstructor,
  type StatusObject,
} from "@grpc/grpc-js";
import { EventBatch, systemClock } from "@millrace/core";
import {
  createCollectingLog,
  numberedBatch,
  numbersOf,
  tempDirectory,
  testTls,
  waitFor,
  within,
  writeTestStores,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import type { EventServerOptions } from "../wire/event-server.ts";
import { createGrpcClient } from "./client.ts";
import { createGrpcServer } from "./server.ts";

const never = new AbortController().signal;
const now = AbortSignal.abort();
const protoFolder = fileURLToPath(new URL("../../../../proto/", import.meta.url));

interface ProtoLoader {
  loadSync(files: readonly string[], options: object): Parameters<typeof loadPackageDefinition>[0];
}
/** A dependency of the library's, not of ours. */
const requireOfLibrary = createRequire(createRequire(import.meta.url).resolve("@grpc/grpc-js"));
const loader = requireOfLibrary("@grpc/proto-loader") as ProtoLoader;
const loaded = loadPackageDefinition(
  loader.loadSync(["millrace/v1/event_service.proto", "grpc/health/v1/health.proto"], {
    includeDirs: [protoFolder],
    longs: Number,
    enums: String,
    defaults: true,
  }),
);

function serviceOf(...path: readonly string[]): ServiceClientConstructor {
  let found: unknown = loaded;
  for (const name of path) found = (found as GrpcObject)[name];
  return found as ServiceClientConstructor;
}

interface WireBatch {
  readonly slab: Uint8Array;
  readonly count: number;
  readonly id: number;
  readonly origin?: { readonly run: string; readonly sequence: number };
  readonly settled_below?: number;
}
interface WireAck {
  readonly id: number;
}
interface EventService {
  Deliver(): ClientDuplexStream<WireBatch, WireAck>;
  Append(batch: WireBatch, done: (error: StatusObject | null, ack?: WireAck) => void): void;
  close(): void;
}
interface HealthService {
  Check(request: { service: string }, done: (error: StatusObject | null, response?: { status: string }) => void): void; // prettier-ignore
  Watch(request: { service: string }): ClientReadableStream<{ status: string }>;
  close(): void;
}

const slabOf = (batch: EventBatch): Buffer => Buffer.concat(batch.gather());
const wire = (id: number, batch: EventBatch): WireBatch => ({
  id,
  slab: slabOf(batch),
  count: batch.length,
});

async function listening(t: TestContext, options: Partial<EventServerOptions> = {}) {
  const stored: number[] = [];
  const server = createGrpcServer({
    host: "127.0.0.1",
    port: 0,
    clock: systemClock,
    log: createCollectingLog(),
    handler: (batch) => {
      if (batch.length > 0 && numbersOf(batch)[0] === 13) return Promise.resolve("FAILED");
      stored.push(...numbersOf(batch));
      return Promise.resolve("OK");
    },
    ...options,
  });
  await server.start(never);
  t.after(() => server.stop(now));
  return { server, stored };
}

function libraryClient<S extends { close(): void }>(
  t: TestContext,
  path: readonly string[],
  port: number,
  by: ChannelCredentials = credentials.createInsecure(),
): S {
  const Service = serviceOf(...path);
  const client = new Service(`127.0.0.1:${port}`, by) as unknown as S;
  t.after(() => client.close());
  return client;
}
const eventServicePath = ["millrace", "v1", "EventService"];
const healthPath = ["grpc", "health", "v1", "Health"];

test("a client made of the .proto delivers, is acknowledged, and told the end", async (t) => {
  const { server, stored } = await listening(t);
  const client = libraryClient<EventService>(t, eventServicePath, server.port);
  const call = client.Deliver();
  const acks: number[] = [];
  call.on("data", ({ id }: WireAck) => acks.push(id));
  const status = new Promise<StatusObject>((resolve) => call.on("status", resolve));
  const origin = { run: "edge-1/7", sequence: 4 };
  call.write({ ...wire(1, numberedBatch(1, 4)), origin, settled_below: 4 });
  call.write(wire(2, numberedBatch(5, 5)));
  call.write(wire(40, EventBatch.empty));
  call.end();
  assert.equal((await within("the status", status)).code, 0);
  assert.deepEqual(acks, [1, 2, 40]);
  assert.deepEqual(stored, [1, 2, 3, 4, 5]);
});

test("a client made of the .proto sees what ended its stream", async (t) => {
  const { server, stored } = await listening(t);
  const client = libraryClient<EventService>(t, eventServicePath, server.port);
  for (const [batch, code, says] of [
    [wire(2, numberedBatch(13, 14)), 8, /could not store this batch of 2 events/],
    [{ ...wire(2, numberedBatch(1, 2)), count: 3 }, 3, /EVENT_MALFORMED/],
    [{ id: 2, slab: Buffer.from("nonsense"), count: 1 }, 3, /EVENT_MALFORMED/],
  ] as const) {
    const call = client.Deliver();
    const acks: number[] = [];
    call.on("data", ({ id }: WireAck) => acks.push(id));
    call.on("error", () => {});
    const status = new Promise<StatusObject>((resolve) => call.on("status", resolve));
    call.write(wire(1, numberedBatch(1, 1)));
    call.write(batch);
    call.write(wire(3, numberedBatch(99, 99)));
    const given = await within("the status", status);
    assert.equal(given.code, code);
    assert.match(given.details, says);
    await waitFor("the Ack", () => acks.length === 1);
    assert.deepEqual(acks, [1]);
  }
  assert.deepEqual(stored, [1, 1, 1]);
});

test("a client made of the .proto appends one batch", async (t) => {
  const { server, stored } = await listening(t);
  const client = libraryClient<EventService>(t, eventServicePath, server.port);
  const append = (batch: WireBatch) =>
    new Promise<{ code: number; id: number | undefined }>((resolve) =>
      client.Append(batch, (error, ack) => resolve({ code: error?.code ?? 0, id: ack?.id })),
    );
  assert.deepEqual(await append(wire(7, numberedBatch(1, 3))), { code: 0, id: 7 });
  assert.deepEqual(await append(wire(8, numberedBatch(13, 13))), { code: 8, id: undefined });
  assert.deepEqual(stored, [1, 2, 3]);
});

test("a health client made of the .proto checks and watches until the server drains", async (t) => {
  const { server } = await listening(t);
  const client = libraryClient<HealthService>(t, healthPath, server.port);
  const check = (service: string) =>
    new Promise<number | string>((resolve) =>
      client.Check({ service }, (error, response) =>
        resolve(error === null ? String(response?.status) : error.code),
      ),
    );
  assert.equal(await check(""), "SERVING");
  assert.equal(await check("millrace.v1.EventService"), "SERVING");
  assert.equal(await check("x"), 5);
  const seen: string[] = [];
  const watch = client.Watch({ service: "" });
  watch.on("data", ({ status }: { status: string }) => seen.push(status));
  watch.on("error", () => {});
  const ended = new Promise<StatusObject>((resolve) => watch.on("status", resolve));
  await waitFor("the first status", () => seen.length === 1);
  await within("stop", server.stop(never));
  assert.deepEqual(seen, ["SERVING", "NOT_SERVING"]);
  assert.equal((await ended).code, 14);
});

test("a client made of the .proto speaks TLS with its own defaults", async (t) => {
  const directory = await tempDirectory(t);
  const stores = await writeTestStores(directory);
  const { server, stored } = await listening(t, {
    transport: {
      compression: "none",
      tls: {
        includeProtocols: [],
        excludeProtocols: [],
        includeCipherSuites: [],
        excludeCipherSuites: [],
        keystore: { path: stores.server.pem, keyPath: stores.server.keyPem, type: "PEM" },
        clientAuth: "none",
      },
    },
  });
  const roots = Buffer.from(testTls().authority.certificatePem);
  const client = libraryClient<EventService>(
    t,
    eventServicePath,
    server.port,
    credentials.createSsl(roots),
  );
  const id = await within(
    "the Ack",
    new Promise<number | undefined>((resolve, reject) =>
      client.Append(wire(3, numberedBatch(1, 1)), (error, ack) =>
        error === null ? resolve(ack?.id) : reject(new Error(error.details)),
      ),
    ),
  );
  assert.equal(id, 3);
  assert.deepEqual(stored, [1]);
});

test("our client delivers to a server made of the .proto", async (t) => {
  const received: WireBatch[] = [];
  const server = new Server();
  server.addService(serviceOf(...eventServicePath).service, {
    Deliver(call: ServerDuplexStream<WireBatch, WireAck>) {
      call.sendMetadata(call.metadata.clone());
      call.on("data", (batch: WireBatch) => {
        received.push(batch);
        if (received.length === 4) {
          call.emit("error", { code: 8, details: "c1 is full" });
        } else call.write({ id: batch.id });
      });
      call.on("end", () => call.end());
    },
  });
  t.after(() => server.forceShutdown());
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    ),
  );
  const client = createGrpcClient({
    host: "127.0.0.1",
    port,
    connectTimeoutMs: 5000,
    requestTimeoutMs: 5000,
    maxFrameBytes: 1 << 20,
    clock: systemClock,
    log: createCollectingLog(),
  });
  t.after(() => client.close());
  await client.connect();
  const large = numberedBatch(1, 3000);
  await Promise.all([
    client.appendBatch(large),
    client.append(numberedBatch(1, 1)),
    client.appendBatch(EventBatch.empty),
  ]);
  assert.deepEqual(
    received.map(({ id, count }) => [id, count]),
    [
      [1, 3000],
      [2, 1],
      [3, 0],
    ],
  );
  assert.deepEqual(Buffer.from(received[0]?.slab ?? []), slabOf(large));
  await assert.rejects(client.appendBatch(numberedBatch(1, 1)), {
    code: "RPC_STATUS_FAILED",
    message: /c1 is full/,
  });
});
