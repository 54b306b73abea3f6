import type { Sink, SinkContext } from "@millrace/core";
import { clientTransport } from "@millrace/rpc";
import { createThriftClient, readProtocol } from "@millrace/rpc/thrift";
import { createRpcSink } from "../../rpc/rpc-sink.ts";
import type { Options } from "./options.ts";

/** Sends batches to one Thrift source. The options are such that `checkOptions` passes. */
export function createThriftSink(options: Options, context: SinkContext): Sink {
  const { protocol = "compact", note } = readProtocol(options.protocol);
  if (note !== undefined) context.log.warn(note);
  const transport = clientTransport(options, context.systemProperties);
  const maxRequestBytes = options.maxFrameBytes;
  return createRpcSink({ ...options, transport }, context, (client) =>
    createThriftClient({ ...client, protocol, maxRequestBytes }),
  );
}
