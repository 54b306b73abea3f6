import { defineSource } from "@millrace/core";
import { checkOptions, options } from "./options.ts";

export const source = defineSource({
  type: "thrift_legacy",
  aliases: ["org.apache.flume.source.thriftLegacy.ThriftLegacySource"],
  summary: "Takes events from agents of Flume 0.9 that send Thrift.",
  options,
  guarantee: {
    atLeastOnce: false,
    lostIf: "the agent or the connection ends before what was sent is stored: nothing is answered",
  },
  check: checkOptions,
  example: `
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = org.apache.flume.source.thriftLegacy.ThriftLegacySource
a1.sources.r1.channels = c1
a1.sources.r1.host = 0.0.0.0
a1.sources.r1.port = 56565
a1.channels.c1.type = memory
a1.sinks.k1.type = logger
a1.sinks.k1.channel = c1
`,
  create: async (values, context) =>
    (await import("./thrift-legacy-source.ts")).createThriftLegacySource(values, context),
});
