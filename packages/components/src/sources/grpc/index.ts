import { defineSource } from "@millrace/core";
import { checkOptions, options } from "./options.ts";

export const source = defineSource({
  type: "grpc",
  aliases: [],
  summary: "Takes events from gRPC sinks of Millrace, and from programs of any language.",
  options,
  guarantee: { atLeastOnce: true },
  check: checkOptions,
  example: `
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = grpc
a1.sources.r1.channels = c1
a1.sources.r1.bind = 0.0.0.0
a1.sources.r1.port = 4143
a1.channels.c1.type = memory
a1.sinks.k1.type = logger
a1.sinks.k1.channel = c1
`,
  create: async (values, context) =>
    (await import("./grpc-source.ts")).createGrpcSource(values, context),
});
