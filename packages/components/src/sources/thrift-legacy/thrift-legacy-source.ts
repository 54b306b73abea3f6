import type { SourceContext } from "@millrace/core";
import { createThriftLegacyServer } from "@millrace/rpc/legacy";
import { createRpcSource, type RpcSource } from "../../rpc/rpc-source.ts";
import type { Options } from "./options.ts";
import { createPersistentProcessor } from "./persistent-processor.ts";

/**
 * Listens for agents of Flume 0.9 that send Thrift. Their calls are one-way: a batch is tried until
 * it is stored, and meanwhile its connection is not read.
 */
export function createThriftLegacySource(options: Options, context: SourceContext): RpcSource {
  const { host, ipFilter, ipFilterRules } = options;
  const rules = ipFilter && ipFilterRules !== undefined ? { ipFilterRules } : {};
  const transport = { compression: "none", ...rules } as const;
  const { clock } = context.runtime;
  const channelProcessor = createPersistentProcessor({ ...context, clock });
  const source = createRpcSource(
    { ...options, bind: host, requestsInFlight: 1, transport },
    { ...context, channelProcessor },
    createThriftLegacyServer,
  );
  return {
    get port() {
      return source.port;
    },
    start: (aborted) => source.start(aborted),
    async stop(deadline) {
      // Both at once: at the deadline the connections are cut, and what they brought is let go.
      const finished = channelProcessor.finish(deadline);
      await source.stop(deadline);
      await finished;
      // What came from connections that were answered meanwhile.
      await channelProcessor.finish(deadline);
    },
  };
}
