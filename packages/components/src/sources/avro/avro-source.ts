import type { SourceContext } from "@millrace/core";
import { createAvroServer } from "@millrace/rpc";
import { createRpcSource, type RpcSource } from "../../rpc/rpc-source.ts";
import type { Options } from "./options.ts";

/** Listens for Avro sinks and clients. */
export function createAvroSource(options: Options, context: SourceContext): RpcSource {
  return createRpcSource(options, context, createAvroServer);
}
