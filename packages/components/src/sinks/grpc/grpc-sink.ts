import type { Sink, SinkContext } from "@millrace/core";
import { clientTransport, type CreateHostSelector, loadHostSelector } from "@millrace/rpc";
import { createGrpcClient } from "@millrace/rpc/grpc";
import { createRpcSink } from "../../rpc/rpc-sink.ts";
import type { Options } from "./options.ts";

/** Sends batches to a gRPC source, or to one of several. Throws CONFIG_INVALID. */
export function createGrpcSink(
  options: Options,
  context: SinkContext,
  createHostSelector?: CreateHostSelector,
): Sink {
  const transport = clientTransport(options, context.systemProperties);
  return createRpcSink({ ...options, transport }, context, createGrpcClient, createHostSelector);
}

/** The same; a selector of the operator's own is loaded first. */
export async function loadGrpcSink(options: Options, context: SinkContext): Promise<Sink> {
  return createGrpcSink(options, context, await loadHostSelector(options.hostSelector));
}
