import { defineChannel } from "@millrace/core";
import { options } from "./options.ts";

export const channel = defineChannel({
  type: "pseudotxn",
  aliases: ["org.apache.flume.channel.PseudoTxnMemoryChannel"],
  summary: "For tests: a queue in memory whose transactions do nothing.",
  options,
  guarantee: {
    atLeastOnce: false,
    lostIf: "the process dies, or a sink gives events back: a take here cannot be taken back",
  },
  example: `
a1.sources = r1
a1.channels = c1
a1.sinks = k1
a1.sources.r1.type = avro
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = 4141
a1.sources.r1.channels = c1
a1.channels.c1.type = pseudotxn
a1.channels.c1.capacity = 50
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
`,
  notes: () => [
    {
      key: "type",
      message:
        "is for tests: what is put stays put and what is taken is gone, whatever becomes of the " +
        "transaction; memory is as fast and keeps both",
    },
  ],
  create: async (values, context) =>
    (await import("./pseudotxn-channel.ts")).createPseudotxnChannel(values, context),
});
