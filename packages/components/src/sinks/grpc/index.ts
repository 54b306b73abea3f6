import { defineSink } from "@millrace/core";
import { breaksOrder, checkOptions, options } from "./options.ts";

export const sink = defineSink({
  type: "grpc",
  aliases: [],
  summary: "Sends events to the gRPC source of the next Millrace agent.",
  options,
  guarantee: { atLeastOnce: true },
  check: checkOptions,
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
a1.sinks.k1.type = grpc
a1.sinks.k1.channel = c1
a1.sinks.k1.hostname = collector.example
a1.sinks.k1.port = 4143
a1.sinks.k1.batch-size = 1000
`,
  create: async (values, context) => (await import("./grpc-sink.ts")).loadGrpcSink(values, context),
});
