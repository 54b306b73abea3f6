import { defineSerializer } from "@millrace/core";
import { options } from "./options.ts";

export const serializer = defineSerializer({
  type: "header_and_text",
  aliases: ["org.apache.flume.serialization.HeaderAndBodyTextEventSerializer$Builder"],
  summary: "Writes the headers of each event as {k=v, k2=v2}, a blank and the body, a line each.",
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
a1.sinks.k1.sink.serializer = header_and_text
`,
  create: async (values) =>
    (await import("./header-and-text.ts")).createHeaderAndTextSerializer(values),
});
