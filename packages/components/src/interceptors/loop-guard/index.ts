import { defineInterceptor } from "@millrace/core";
import { options } from "./options.ts";

export const interceptor = defineInterceptor({
  type: "loop_guard",
  aliases: [],
  summary: "Refuses events that have passed this source before.",
  options,
  guarantee: { atLeastOnce: true },
  example: `
collector.sources = in
collector.channels = disk
collector.sinks = out
collector.sources.in.type = avro
collector.sources.in.bind = 0.0.0.0
collector.sources.in.port = 4141
collector.sources.in.channels = disk
collector.sources.in.interceptors = guard
collector.sources.in.interceptors.guard.type = loop_guard
collector.channels.disk.type = memory
collector.sinks.out.type = avro
collector.sinks.out.channel = disk
collector.sinks.out.hostname = next-tier
collector.sinks.out.port = 4141
`,
  create: async (values, context) =>
    (await import("./loop-guard.ts")).createLoopGuard(values, context),
});
