import { defineSinkProcessor } from "@millrace/core";
import { options } from "./options.ts";

const noBackoff =
  "is false: at each of its turns a sink that fails is asked again, and a batch waits for its timeouts";

export const sinkProcessor = defineSinkProcessor({
  type: "load_balance",
  aliases: ["org.apache.flume.sink.LoadBalancingSinkProcessor"],
  summary: "Spreads batches over sinks, in turn or by chance, and past those that fail.",
  options,
  guarantee: { atLeastOnce: true },
  example: `
a1.sources = r1
a1.channels = c1
a1.sinks = k1 k2
a1.sinkgroups = g1
a1.sources.r1.type = avro
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = 4141
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
a1.sinks.k2.type = null
a1.sinks.k2.channel = c1
a1.sinkgroups.g1.sinks = k1 k2
a1.sinkgroups.g1.processor.type = load_balance
a1.sinkgroups.g1.processor.selector = round_robin
a1.sinkgroups.g1.processor.backoff = true
a1.sinkgroups.g1.processor.selector.maxTimeOut = 10000
`,
  breaksOrder: () => "its batches go to several sinks at once",
  notes: ({ backoff }) => (backoff ? [] : [{ key: "backoff", message: noBackoff }]),
  create: async (values, context) =>
    (await import("./load-balance.ts")).createLoadBalanceProcessor(values, context),
});
