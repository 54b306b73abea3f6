import { defineSinkProcessor } from "@millrace/core";
import { noteMissingPriorities, options } from "./options.ts";

export const sinkProcessor = defineSinkProcessor({
  type: "failover",
  aliases: ["org.apache.flume.sink.FailoverSinkProcessor"],
  summary: "Delivers to the first sink by priority that works, and comes back to a better one.",
  options,
  guarantee: { atLeastOnce: true },
  example: `
a1.sources = r1
a1.channels = c1
a1.sinks = k1 k2
a1.sinkgroups = g1
a1.sources.r1.type = avro
a1.sources.r1.bind = 127.0.0.1
a1.sources.r1.port = 4141
a1.sources.r1.channels = c1
a1.channels.c1.type = memory
a1.sinks.k1.type = null
a1.sinks.k1.channel = c1
a1.sinks.k2.type = null
a1.sinks.k2.channel = c1
a1.sinkgroups.g1.sinks = k1 k2
a1.sinkgroups.g1.processor.type = failover
a1.sinkgroups.g1.processor.priority.k1 = 10
a1.sinkgroups.g1.processor.priority.k2 = 5
a1.sinkgroups.g1.processor.maxpenalty = 10000
`,
  check({ priority }) {
    const problems: { key: string; message: string }[] = [];
    const owners = new Map<number, string>();
    for (const [sink, text] of priority) {
      const key = `priority.${sink}`;
      const number = Number(text);
      const owner = owners.get(number);
      if (!/^[+-]?\d{1,10}$/.test(text)) {
        problems.push({ key, message: `"${text}" is not a whole number` });
      } else if (owner === undefined) {
        owners.set(number, sink);
      } else {
        problems.push({ key, message: `is ${number}, which ${owner} has: give each its own` });
      }
    }
    return problems;
  },
  notes: noteMissingPriorities,
  create: async (values, context) =>
    (await import("./failover.ts")).createFailoverProcessor(values, context),
});
