import { defineSource, type MakeDeserializer } from "@millrace/core";
import { isKnownCharset, options } from "./options.ts";

export const source = defineSource({
  type: "spooldir",
  aliases: ["org.apache.flume.source.SpoolDirectorySource"],
  summary: "Reads finished files that are moved into a directory.",
  options,
  guarantee: { atLeastOnce: true },
  example: `
a1.sources = files
a1.channels = c1
a1.sinks = out

a1.sources.files.type = spooldir
a1.sources.files.channels = c1
a1.sources.files.spoolDir = /var/spool/flume
a1.sources.files.fileHeader = true
a1.sources.files.includePattern = .*[.]log

a1.channels.c1.type = memory
a1.sinks.out.type = logger
a1.sinks.out.channel = c1
`,
  check(chosen) {
    if (isKnownCharset(chosen.inputCharset)) return [];
    return [{ key: "inputCharset", message: `"${chosen.inputCharset}" is not a known charset` }];
  },
  batchSize: (chosen) => chosen.batchSize,
  async create(chosen, context) {
    const { createSpooldirSource } = await import("./spooldir-source.ts");
    const { deserializer: ref, bufferMaxLineLength } = chosen;
    const properties = new Map(ref.properties);
    if (bufferMaxLineLength !== undefined && ref.type.toLowerCase() === "line") {
      if (!properties.has("maxLineLength"))
        properties.set("maxLineLength", String(bufferMaxLineLength));
    }
    const makeDeserializer = await context.makePart<MakeDeserializer>({ ...ref, properties });
    return createSpooldirSource(chosen, makeDeserializer, context);
  },
});
