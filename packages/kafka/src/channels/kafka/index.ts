import { defineChannel } from "@millrace/core";
import { notesOf, options, problemsOf } from "./options.ts";

export const channel = defineChannel({
  type: "kafka",
  aliases: ["org.apache.flume.channel.kafka.KafkaChannel"],
  summary: "Keeps events in a Kafka topic, which several agents can put into and take from.",
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
a1.channels.c1.type = org.apache.flume.channel.kafka.KafkaChannel
a1.channels.c1.kafka.bootstrap.servers = kafka-1:9092,kafka-2:9092,kafka-3:9092
a1.channels.c1.kafka.topic = flume-channel
a1.channels.c1.kafka.consumer.group.id = flume
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
`,
  check: problemsOf,
  notes: notesOf,
  create: async (values, context) =>
    (await import("./kafka-channel.ts")).createKafkaChannel(values, context),
});
