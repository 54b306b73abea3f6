import { defineSink } from "@millrace/core";
import { options } from "./options.ts";

export const sink = defineSink({
  type: "logger",
  aliases: ["org.apache.flume.sink.LoggerSink"],
  summary: "Writes each event to the agent's log, a line each: for trying things out.",
  options,
  guarantee: { atLeastOnce: false, lostIf: "the log is: nothing waits for it to reach a disk" },
  example: `
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = avro
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = 4141
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.sinks.k1.type = logger
a1.sinks.k1.channel = c1
a1.sinks.k1.maxBytesToLog = 64
`,
  create: async (values, context) =>
    (await import("./logger.ts")).createLoggerSink(values, context),
});
