import { defineInterceptor } from "@millrace/core";
import { options } from "./options.ts";

export const interceptor = defineInterceptor({
  type: "loop_guard",
  aliases: [],
  summary: "Refuses events that have passed this source before.",
  options,
  guarantee: { atLeastOnce: true },
  example: `
a1.sources = in
a1.channels = disk
a1.sinks = out
a1.sources.in.type = avro
a1.sources.in.bind = 0.0.0.0
a1.sources.in.port = 4141
a1.sources.in.channels = disk
a1.sources.in.interceptors = guard
a1.sources.in.interceptors.guard.type = loop_guard
a1.channels.disk.type = memory
a1.sinks.out.type = avro
a1.sinks.out.channel = disk
a1.sinks.out.hostname = next-tier
a1.sinks.out.port = 4141
`,
  create: async (values, context) =>
    (await import("./loop-guard.ts")).createLoopGuard(values, context),
});
