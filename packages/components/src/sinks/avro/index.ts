import { defineSink } from "@millrace/core";
import { breaksOrder, checkOptions, hostNotes, options } from "./options.ts";

export const sink = defineSink({
  type: "avro",
  aliases: ["org.apache.flume.sink.AvroSink", "org.apache.flume.rpc.avro.sink.AvroSink"],
  summary: "Sends events to the Avro source of the next agent, Millrace or Java Flume.",
  options,
  guarantee: { atLeastOnce: true },
  check: checkOptions,
  notes: hostNotes,
  batchSize: ({ batchSize }) => batchSize,
  breaksOrder,
  example: `
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = avro
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = 4141
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.channels.c1.capacity = 10000
a1.channels.c1.transactionCapacity = 1000
a1.sinks.k1.type = avro
a1.sinks.k1.channel = c1
a1.sinks.k1.batch-size = 1000
a1.sinks.k1.client.type = default_failover
a1.sinks.k1.hosts = h1 h2
a1.sinks.k1.hosts.h1 = collector1.example:4141
a1.sinks.k1.hosts.h2 = collector2.example:4141
`,
  create: async (values, context) => (await import("./avro-sink.ts")).loadAvroSink(values, context),
});
