import type { SourceContext } from "@millrace/core";
import { createGrpcServer } from "@millrace/rpc/grpc";
import { createRpcSource, type RpcSource } from "../../rpc/rpc-source.ts";
import { serverTransport } from "../../rpc/server-transport-options.ts";
import type { Options } from "./options.ts";

/** Listens for gRPC sinks and clients. */
export function createGrpcSource(options: Options, context: SourceContext): RpcSource {
  const transport = serverTransport(options, context.systemProperties);
  return createRpcSource({ ...options, transport }, context, createGrpcServer);
}
