import { defineSource } from "@millrace/core";
import { checkOptions, options } from "./options.ts";

export const source = defineSource({
  type: "thrift",
  aliases: [
    "org.apache.flume.source.ThriftSource",
    "org.apache.flume.rpc.thrift.source.ThriftSource",
  ],
  summary: "Takes events from Thrift sinks and clients, of Millrace and of Java Flume.",
  options,
  guarantee: { atLeastOnce: true },
  check: checkOptions,
  example: `
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = thrift
a1.sources.r1.channels = c1
a1.sources.r1.bind = 0.0.0.0
a1.sources.r1.port = 4353
a1.channels.c1.type = memory
a1.sinks.k1.type = logger
a1.sinks.k1.channel = c1
`,
  create: async (values, context) =>
    (await import("./thrift-source.ts")).createThriftSource(values, context),
});
