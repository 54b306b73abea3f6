import { defineDeserializer } from "@millrace/core";
import { options } from "./options.ts";

export const deserializer = defineDeserializer({
  type: "line",
  aliases: [
    "org.apache.flume.serialization.LineDeserializer$Builder",
    "org.apache.flume.serialization.LineDeserializer",
  ],
  summary: "Cuts a text file into one event a line.",
  options,
  example: `
a1.sources = files
a1.channels = c1
a1.sinks = out

a1.sources.files.type = spooldir
a1.sources.files.channels = c1
a1.sources.files.spoolDir = /var/spool/flume
a1.sources.files.inputCharset = ISO-8859-1
a1.sources.files.deserializer = LINE
a1.sources.files.deserializer.maxLineLength = 65536

a1.channels.c1.type = memory
a1.sinks.out.type = logger
a1.sinks.out.channel = c1
`,
  async create(chosen, context) {
    const { createLineDeserializer } = await import("./line-deserializer.ts");
    const split = context.metrics.counter(
      "millrace_source_lines_split_total",
      "Pieces cut off lines that are longer than maxLineLength.",
    );
    return (input) =>
      createLineDeserializer(input, chosen, () => {
        if (split.value++ > 0) return;
        context.log.warn("a line is longer than maxLineLength and becomes several events", {
          path: input.path,
          maxLineLength: chosen.maxLineLength,
        });
      });
  },
});
