import { defineChannel } from "@millrace/core";
import { options } from "./options.ts";

export const channel = defineChannel({
  type: "memory",
  aliases: ["org.apache.flume.channel.MemoryChannel"],
  summary: "Keeps events in memory, bounded by events and by bytes.",
  options,
  guarantee: { atLeastOnce: false, lostIf: "the process dies" },
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
a1.channels.c1.byteCapacity = 100000000
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
`,
  check: ({ capacity, transactionCapacity }) =>
    transactionCapacity <= capacity
      ? []
      : [
          {
            key: "transactionCapacity",
            message: `${transactionCapacity} is over capacity, which is ${capacity}`,
          },
        ],
  resizable: ["capacity", "transactionCapacity", "keepAliveSeconds", "byteCapacity"],
  transactionCapacity: (values) => values.transactionCapacity,
  create: async (values, context) =>
    (await import("./memory-channel.ts")).createMemoryChannel(values, context),
});
