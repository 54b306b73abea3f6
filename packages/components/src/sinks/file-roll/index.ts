import { defineSink, type MakeSerializer } from "@millrace/core";
import { options } from "./options.ts";

export const sink = defineSink({
  type: "file_roll",
  aliases: ["org.apache.flume.sink.RollingFileSink"],
  summary: "Writes events to files in a directory, synced before they are acknowledged.",
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
a1.channels.c1.type = memory
a1.sinks.k1.type = file_roll
a1.sinks.k1.channel = c1
a1.sinks.k1.sink.directory = /var/log/millrace
a1.sinks.k1.sink.rollInterval = 60
a1.sinks.k1.sink.serializer = text
a1.sinks.k1.sink.pathManager = rolltime
a1.sinks.k1.sink.pathManager.prefix = events-
a1.sinks.k1.sink.pathManager.extension = log
`,
  batchSize: (values) => values.batchSize,
  async create(values, context) {
    const makeSerializer = await context.makePart<MakeSerializer>(values.serializer);
    const { createFileRollSink } = await import("./file-roll.ts");
    return createFileRollSink(values, context, makeSerializer);
  },
});
