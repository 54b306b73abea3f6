import { defineSinkSelector } from "@millrace/core";
import { options } from "./options.ts";

export const sinkSelector = defineSinkSelector({
  type: "round_robin",
  aliases: ["org.apache.flume.sink.LoadBalancingSinkProcessor$RoundRobinSinkSelector"],
  summary: "The sinks of a group take turns.",
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
a1.sinkgroups.g1.processor.selector = round_robin
`,
  create: async () => (await import("./round-robin.ts")).createRoundRobin(),
});
