import { defineSinkProcessor } from "@millrace/core";
import { options } from "./options.ts";

export const sinkProcessor = defineSinkProcessor({
  type: "default",
  aliases: ["org.apache.flume.sink.DefaultSinkProcessor"],
  summary: "A group of exactly one sink, which gets every batch.",
  options,
  guarantee: { atLeastOnce: true },
  example: `
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sinkgroups = g1
a1.sources.r1.type = avro
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = 4141
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
a1.sinkgroups.g1.sinks = k1
a1.sinkgroups.g1.processor.type = default
`,
  create: async (_values, context) =>
    (await import("./default.ts")).createDefaultProcessor(context),
});
