import { defineSink } from "@millrace/core";
import { options } from "./options.ts";

export const sink = defineSink({
  type: "null",
  aliases: ["org.apache.flume.sink.NullSink"],
  summary: "Discards every event.",
  options,
  guarantee: { atLeastOnce: false, lostIf: "they reach it: discarding is what it is for" },
  example: `
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = avro
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = 4141
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
a1.sinks.k1.batchSize = 100
`,
  batchSize: (values) => values.batchSize,
  create: async (values, context) => (await import("./null.ts")).createNullSink(values, context),
});
