import { defineChannel } from "@millrace/core";
import { checkOptions, noteOptions, options } from "./options.ts";

export const channel = defineChannel({
  type: "spillablememory",
  aliases: ["org.apache.flume.channel.SpillableMemoryChannel"],
  summary:
    "The file channel with Flume's spillable options: all on disk, the newest in memory too.",
  options,
  guarantee: { atLeastOnce: true },
  example: `
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = avro
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = 4141
a1.sources.r1.channels = c1
a1.channels.c1.type = spillablememory
a1.channels.c1.dataDirs = /var/lib/millrace/a1/data
a1.channels.c1.memoryCapacity = 10000
a1.channels.c1.overflowCapacity = 1000000
a1.channels.c1.transactionCapacity = 1000
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
`,
  check: checkOptions,
  notes: noteOptions,
  home: ["dataDirs"],
  resizable: [
    "memoryCapacity",
    "overflowCapacity",
    "overflowTimeoutSeconds",
    "avgEventSize",
    "byteCapacity",
    "memoryBytes",
    "transactionCapacity",
  ],
  transactionCapacity: (values) => values.transactionCapacity,
  create: async (values, context) =>
    (await import("./spillablememory-channel.ts")).createSpillableMemoryChannel(values, context),
});
