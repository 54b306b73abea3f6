import { defineChannel } from "@millrace/core";
import { options } from "./options.ts";

export const channel = defineChannel({
  type: "direct",
  aliases: [],
  summary: "Holds nothing: a put commits when sinks have delivered it.",
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
a1.channels.c1.type = direct
a1.channels.c1.keep-alive = 3
a1.channels.c1.answerTimeout = 8
a1.sinks.k1.type = avro
a1.sinks.k1.channel = c1
a1.sinks.k1.hostname = 127.0.0.1
a1.sinks.k1.port = 4142
`,
  check: ({ capacity, transactionCapacity, keepAliveSeconds, answerTimeoutSeconds }) => [
    ...(transactionCapacity <= capacity
      ? []
      : [
          {
            key: "transactionCapacity",
            message: `${transactionCapacity} is over capacity, which is ${capacity}`,
          },
        ]),
    ...(keepAliveSeconds <= answerTimeoutSeconds
      ? []
      : [
          {
            key: "answerTimeout",
            message: `${answerTimeoutSeconds} s is under keep-alive, which is ${keepAliveSeconds} s`,
          },
        ]),
  ],
  transactionCapacity: (values) => values.transactionCapacity,
  create: async (values, context) =>
    (await import("./direct-channel.ts")).createDirectChannel(values, context),
});
