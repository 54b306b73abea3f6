import { defineSelector } from "@millrace/core";
import { options } from "./options.ts";

export const selector = defineSelector({
  type: "multiplexing",
  aliases: ["org.apache.flume.channel.MultiplexingChannelSelector"],
  summary: "Sends each event to the channels that the value of one header is mapped to.",
  options,
  guarantee: { atLeastOnce: true },
  example: `
a1.sources = r1
a1.channels = c1 c2
a1.sinks = k1 k2
a1.sources.r1.type = avro
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = 4141
a1.sources.r1.channels = c1 c2
a1.sources.r1.selector.type = multiplexing
a1.sources.r1.selector.header = datacenter
a1.sources.r1.selector.mapping.berlin = c1
a1.sources.r1.selector.mapping.seoul = c1 c2
a1.sources.r1.selector.default = c2
a1.channels.c1.type = memory
a1.channels.c2.type = memory
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
a1.sinks.k2.type = null
a1.sinks.k2.channel = c2
`,
  create: async (values, context) =>
    (await import("./multiplexing.ts")).createMultiplexingSelector(values, context),
});
