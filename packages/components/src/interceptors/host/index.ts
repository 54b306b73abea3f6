import { defineInterceptor } from "@millrace/core";
import { options } from "./options.ts";

export const interceptor = defineInterceptor({
  type: "host",
  aliases: ["org.apache.flume.interceptor.HostInterceptor$Builder"],
  summary: "Sets a header to this host's address or name.",
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
a1.sources.r1.interceptors = i1
a1.sources.r1.interceptors.i1.type = host
a1.sources.r1.interceptors.i1.useIP = false
a1.channels.c1.type = memory
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
`,
  create: async (values, context) =>
    (await import("./host.ts")).createHostInterceptor(values, context),
});
