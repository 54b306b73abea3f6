import { type EventBatch, silentLog, systemRuntime } from "@millrace/core";
import { createAvroClient } from "@millrace/rpc";

/** Sends the batch to an Avro source of this machine; resolves when it was answered OK. */
export async function sendOverAvro(port: number, batch: EventBatch): Promise<void> {
  const client = createAvroClient({
    host: "127.0.0.1",
    port,
    connectTimeoutMs: 5_000,
    requestTimeoutMs: 20_000,
    maxFrameBytes: 1_000_000,
    clock: systemRuntime.clock,
    log: silentLog,
  });
  try {
    await client.connect();
    await client.appendBatch(batch);
  } finally {
    client.close();
  }
}

/** The same, again and again while it fails. Says how often it was tried. */
export async function sendUntilTaken(port: number, batch: EventBatch): Promise<number> {
  for (let tries = 1; ; tries++) {
    try {
      await sendOverAvro(port, batch);
      return tries;
    } catch (error) {
      if (tries === 300) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
