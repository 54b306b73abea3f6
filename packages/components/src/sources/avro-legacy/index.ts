import { defineSource } from "@millrace/core";
import { checkOptions, options } from "./options.ts";

export const source = defineSource({
  type: "avro_legacy",
  aliases: ["org.apache.flume.source.avroLegacy.AvroLegacySource"],
  summary: "Takes events from agents of Flume 0.9 that send Avro over HTTP.",
  options,
  guarantee: { atLeastOnce: true },
  check: checkOptions,
  example: `
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = org.apache.flume.source.avroLegacy.AvroLegacySource
a1.sources.r1.channels = c1
a1.sources.r1.host = 0.0.0.0
a1.sources.r1.port = 41414
a1.channels.c1.type = memory
a1.sinks.k1.type = logger
a1.sinks.k1.channel = c1
`,
  create: async (values, context) =>
    (await import("./avro-legacy-source.ts")).createAvroLegacySource(values, context),
});
