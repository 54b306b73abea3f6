import { defineSource } from "@millrace/core";
import { checkPodOptions, compileNamePatterns, holdProblems, options } from "./options.ts";

export const source = defineSource({
  type: "kubernetes",
  aliases: [],
  summary: "Reads the container logs of a Kubernetes node, over rotation, compression and restart.",
  options,
  guarantee: { atLeastOnce: true },
  example: `
a1.sources = pods
a1.channels = c1
a1.sinks = out

a1.sources.pods.type = kubernetes
a1.sources.pods.channels = c1
a1.sources.pods.positionFile = /var/lib/millrace/edge/positions.json
a1.sources.pods.excludeNamespaces = kube-system
a1.sources.pods.multiline.java.containers = shop/.*/app
a1.sources.pods.multiline.java.firstLine = ^\\\\S

a1.channels.c1.type = memory
a1.channels.c1.transactionCapacity = 1000
a1.channels.c1.capacity = 10000
a1.sinks.out.type = logger
a1.sinks.out.channel = c1
`,
  check: (chosen) => [
    ...compileNamePatterns(chosen).problems,
    ...holdProblems(chosen),
    ...checkPodOptions(chosen),
  ],
  batchSize: (chosen) => chosen.batchSize,
  async create(chosen, context) {
    const { createKubernetesSource } = await import("./kubernetes-source.ts");
    return createKubernetesSource(chosen, context);
  },
});
