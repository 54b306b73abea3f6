import type { SourceContext } from "@millrace/core";
import { createAvroServer } from "@millrace/rpc";
import { createRpcSource, type RpcSource } from "../../rpc/rpc-source.ts";
import { serverTransport } from "../../rpc/server-transport-options.ts";
import type { Options } from "./options.ts";

/** Takes events over Flume's Avro RPC. */
export function createAvroSource(options: Options, context: SourceContext): RpcSource {
  const transport = serverTransport(options, context.systemProperties);
  return createRpcSource({ ...options, transport }, context, createAvroServer);
}
