import { defineInterceptor } from "@millrace/core";
import { checkPodOptions, options } from "./options.ts";

export const interceptor = defineInterceptor({
  type: "kubernetes",
  aliases: [],
  summary: "Adds what the Kubernetes API server knows of an event's pod: node, image, labels.",
  options,
  guarantee: { atLeastOnce: true },
  example: `
a1.sources = pods
a1.channels = disk
a1.sinks = near
a1.sources.pods.type = kubernetes
a1.sources.pods.channels = disk
a1.sources.pods.positionFile = /var/lib/millrace/edge/positions.json
a1.sources.pods.nodeName = worker-1
a1.sources.pods.interceptors = meta
a1.sources.pods.interceptors.meta.type = kubernetes
a1.sources.pods.interceptors.meta.nodeName = worker-1
a1.sources.pods.interceptors.meta.labels = app.kubernetes.io/name
a1.channels.disk.type = file
a1.channels.disk.dataDirs = /var/lib/millrace/edge/channel/data
a1.sinks.near.type = avro
a1.sinks.near.channel = disk
a1.sinks.near.hostname = millrace-collector
a1.sinks.near.port = 4141
`,
  check: (values) => checkPodOptions(values),
  create: async (values, context) =>
    (await import("./kubernetes.ts")).createKubernetesInterceptor(values, context),
});
