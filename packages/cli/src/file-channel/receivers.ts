import {
  type EventBatch,
  type FileHandle,
  MillraceError,
  systemErrorCode,
  writeFully,
} from "@millrace/core";
import type { Receiver } from "@millrace/file-channel";
import { createRpcClient, type RpcClient } from "@millrace/rpc";
import { eventFields } from "./event-line.ts";
import { type Surroundings, UsageError } from "./sub-command.ts";

/** Where `drain` sends to; closed at its end. */
export interface OpenReceiver extends Receiver {
  /** For people. */
  readonly name: string;
  close(): Promise<void>;
}

const clientTypes: Readonly<Record<string, string>> = {
  avro: "default",
  thrift: "thrift",
  grpc: "grpc",
};
const batchSize = 1000;
/** How long a delivery that is under way may go on when the user has enough. */
const lastAnswerMs = 5000;

/**
 * `avro://host:port`, `thrift://...`, `grpc://...`, of several hosts with commas, or `file:<path>`.
 * Opens a file now, and connects at the first delivery. Throws UsageError, WRITE_FAILED.
 */
export async function openReceiver(
  to: string,
  rpcProps: string | undefined,
  around: Surroundings,
): Promise<OpenReceiver> {
  if (to.startsWith("file:")) return openFileReceiver(to.slice(5), around);
  const match = /^(avro|thrift|grpc):\/\/([^/]+)\/?$/.exec(to);
  if (match === null) {
    throw new UsageError(
      `--to ${to} is neither avro://host:port, thrift://host:port, grpc://host:port nor file:<path>`,
    );
  }
  const [, wire = "", list = ""] = match;
  const hosts = list.split(",").filter(Boolean);
  if (rpcProps === undefined) return openRpcReceiver(to, propertiesOf(wire, hosts), around);
  throw new UsageError("--to and --rpcProps exclude each other");
}

function propertiesOf(wire: string, hosts: readonly string[]): Record<string, string | number> {
  const names = hosts.map((_, index) => `h${index + 1}`);
  const several = hosts.length > 1 && wire === "avro" ? "default_failover" : clientTypes[wire];
  const properties: Record<string, string | number> = {
    "client.type": several ?? "default",
    hosts: names.join(" "),
    "batch-size": batchSize,
  };
  names.forEach((name, index) => {
    properties[`hosts.${name}`] = hosts[index] ?? "";
  });
  return properties;
}

/** What an RPC client sends to: its properties, or the path of a file of them. */
export function openRpcReceiver(
  name: string,
  properties: string | Record<string, string | number>,
  { runtime, systemProperties }: Pick<Surroundings, "runtime" | "systemProperties">,
): OpenReceiver {
  const { clock, random, files } = runtime;
  let client: RpcClient | undefined;
  return {
    name,
    batchSize,
    async deliver(batch, giveUp) {
      client ??= await createRpcClient(properties, { clock, random, files, systemProperties });
      const open = client;
      const cut = (): void => {
        timer = clock.setTimer(lastAnswerMs, () => void open.close(AbortSignal.abort()));
      };
      let timer: { cancel(): void } | undefined;
      giveUp.addEventListener("abort", cut, { once: true });
      if (giveUp.aborted) cut();
      try {
        await open.appendBatch(batch);
      } catch (error) {
        if (error instanceof MillraceError && error.code === "RPC_CLIENT_CLOSED")
          client = undefined;
        throw error;
      } finally {
        timer?.cancel();
        giveUp.removeEventListener("abort", cut);
      }
    },
    async close() {
      await client?.close(AbortSignal.abort());
    },
  };
}

async function openFileReceiver(path: string, { runtime }: Surroundings): Promise<OpenReceiver> {
  if (path === "") throw new UsageError("--to file: names no file");
  const failed = (error: unknown): MillraceError => {
    const full = ["ENOSPC", "EDQUOT"].includes(systemErrorCode(error));
    return new MillraceError(
      full ? "DISK_FULL" : "WRITE_FAILED",
      `${path} could not be written: ${(error as Error).message}`,
      { cause: error },
    );
  };
  let handle: FileHandle;
  let at: number;
  try {
    handle = await runtime.files.open(path, "append");
    at = (await handle.stat()).size;
  } catch (error) {
    throw failed(error);
  }
  return {
    name: path,
    batchSize,
    async deliver(batch) {
      const bytes = Buffer.from(linesOf(batch));
      try {
        await writeFully(handle, [bytes], at);
        await handle.datasync();
      } catch (error) {
        throw failed(error);
      }
      at += bytes.length;
    },
    close: () => handle.close(),
  };
}

function linesOf(batch: EventBatch): string {
  let text = "";
  for (const event of batch) text += `${JSON.stringify(eventFields(event))}\n`;
  return text;
}
