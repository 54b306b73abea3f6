import type { SourceContext } from "@millrace/core";
import { createThriftServer, readProtocol } from "@millrace/rpc/thrift";
import { createRpcSource, type RpcSource } from "../../rpc/rpc-source.ts";
import { serverTransport } from "../../rpc/server-transport-options.ts";
import type { Options } from "./options.ts";

/** Listens for Thrift sinks and clients. The options are such that `checkOptions` passes. */
export function createThriftSource(options: Options, context: SourceContext): RpcSource {
  const { protocol = "compact", note } = readProtocol(options.protocol);
  const transport = serverTransport(options, context.systemProperties);
  const source = createRpcSource({ ...options, transport }, context, (server) =>
    createThriftServer({ ...server, protocol }),
  );
  return {
    get port() {
      return source.port;
    },
    async start(aborted) {
      if (note !== undefined) context.log.warn(note);
      await source.start(aborted);
    },
    stop: (deadline) => source.stop(deadline),
  };
}
