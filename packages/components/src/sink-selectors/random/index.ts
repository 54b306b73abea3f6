import { defineSinkSelector } from "@millrace/core";
import { options } from "./options.ts";

export const sinkSelector = defineSinkSelector({
  type: "random",
  aliases: ["org.apache.flume.sink.LoadBalancingSinkProcessor$RandomOrderSinkSelector"],
  summary: "The sink of each batch is drawn by lot.",
  options,
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
a1.sinkgroups.g1.processor.backoff = true
a1.sinkgroups.g1.processor.selector = random
`,
  create: async (_options, { runtime }) =>
    (await import("./random.ts")).createRandomOrder(runtime.random),
});
