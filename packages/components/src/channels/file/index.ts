import { defineChannel } from "@millrace/core";
import { checkOptions, noteLogOptions, options } from "./options.ts";

export const channel = defineChannel({
  type: "file",
  aliases: ["org.apache.flume.channel.file.FileChannel"],
  summary: "Keeps events on disk, synced before they are acknowledged.",
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
a1.channels.c1.type = file
a1.channels.c1.dataDirs = /var/lib/millrace/a1/data
a1.channels.c1.byteCapacity = 4294967296
a1.channels.c1.transactionCapacity = 1000
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
`,
  check: checkOptions,
  notes: (values) => noteLogOptions(values),
  home: ["dataDirs"],
  resizable: ["capacity", "byteCapacity", "transactionCapacity", "keepAliveSeconds", "memoryBytes"],
  transactionCapacity: (values) => values.transactionCapacity,
  create: async (values, context) =>
    (await import("./file-channel.ts")).createConfiguredFileChannel(values, context),
});
