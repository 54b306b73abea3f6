import { defineSelector } from "@millrace/core";
import { options } from "./options.ts";

export const selector = defineSelector({
  type: "load_balancing",
  aliases: ["org.apache.flume.channel.LoadBalancingChannelSelector"],
  summary: "Sends each event to one of the source's channels, in turn or by lot.",
  options,
  guarantee: { atLeastOnce: true },
  breaksOrder: () => "its events are spread over its channels",
  example: `
a1.sources = r1
a1.channels = c1 c2
a1.sinks = k1 k2
a1.sources.r1.type = avro
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = 4141
a1.sources.r1.channels = c1 c2
a1.sources.r1.selector.type = load_balancing
a1.sources.r1.selector.policy = round_robin
a1.channels.c1.type = memory
a1.channels.c2.type = memory
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
a1.sinks.k2.type = null
a1.sinks.k2.channel = c2
`,
  create: async (values, context) =>
    (await import("./load-balancing.ts")).createLoadBalancingSelector(values, context),
});
