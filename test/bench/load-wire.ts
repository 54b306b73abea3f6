/**
 * The load through a wire's own client, for wires whose frames cannot be prepared once:
 * `load-wire.ts <port> <batch> <connections> <inFlight> <warmUpMs> <measureMs> <wire> [truststore]`.
 * Prints what `load.ts` prints.
 */
import { silentLog, systemClock } from "@millrace/core";
import {
  type ClientTransport,
  createAvroClient,
  type EventClient,
  type EventClientOptions,
  plainClient,
} from "@millrace/rpc";
import { createGrpcClient } from "@millrace/rpc/grpc";
import { createThriftClient } from "@millrace/rpc/thrift";
import { sampleBatch } from "./frame.ts";
import type { Wire } from "./paths.ts";

const [port, size, connections, inFlight, warmUpMs, measureMs] = process.argv
  .slice(2, 8)
  .map(Number) as [number, number, number, number, number, number];
const wire = process.argv[8] as Wire;
const truststore = process.argv[9] ?? "";

const batch = sampleBatch(size);
let acknowledged = 0;
let failed = 0;
let stopping = false;
const done: Promise<void>[] = [];

for (let i = 0; i < connections; i++) {
  const client = createClient();
  await client.connect();
  for (let n = 0; n < inFlight; n++) done.push(drive(client));
}
await delay(warmUpMs);
const before = { acknowledged, failed, at: performance.now() };
console.log("begin");
await delay(measureMs);
const seconds = (performance.now() - before.at) / 1000;
const events = acknowledged - before.acknowledged;
const measured = { events, failed: failed - before.failed, seconds };
console.log("end");
stopping = true;
await Promise.race([Promise.all(done), delay(5000)]);
console.log(JSON.stringify({ ...measured, total: acknowledged }));
process.exit(0);

/** One batch after another; a batch that was not taken is counted and not sent again. */
async function drive(client: EventClient): Promise<void> {
  while (!stopping) {
    try {
      await client.appendBatch(batch);
      acknowledged += size;
    } catch (error) {
      failed += size;
      if (!client.alive) throw error;
    }
  }
}

function createClient(): EventClient {
  const options: EventClientOptions = {
    host: "127.0.0.1",
    port,
    connectTimeoutMs: 5000,
    requestTimeoutMs: 60_000,
    maxFrameBytes: 1 << 24,
    transport: transportOf(),
    clock: systemClock,
    log: silentLog,
  };
  if (wire === "grpc") return createGrpcClient(options);
  if (wire === "thrift") return createThriftClient({ ...options, protocol: "compact" });
  return createAvroClient(options);
}

function transportOf(): ClientTransport {
  if (wire === "avro-deflate") return { ...plainClient, compression: "deflate" };
  if (wire !== "avro-tls") return plainClient;
  return {
    ...plainClient,
    tls: {
      includeProtocols: [],
      excludeProtocols: [],
      includeCipherSuites: [],
      excludeCipherSuites: [],
      truststore: { path: truststore, type: "PEM" },
      trustAll: false,
      verifyHostName: true,
    },
  };
}

function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
