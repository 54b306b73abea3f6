import { defineSource } from "@millrace/core";
import { checkOptions, options } from "./options.ts";

export const source = defineSource({
  type: "scribe",
  aliases: ["org.apache.flume.source.scribe.ScribeSource"],
  summary: "Takes what Scribe clients log, each entry an event.",
  options,
  guarantee: { atLeastOnce: true },
  check: checkOptions,
  example: `
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = org.apache.flume.source.scribe.ScribeSource
a1.sources.r1.channels = c1
a1.sources.r1.port = 1499
a1.channels.c1.type = memory
a1.sinks.k1.type = logger
a1.sinks.k1.channel = c1
`,
  create: async (values, context) =>
    (await import("./scribe-source.ts")).createScribeSource(values, context),
});
