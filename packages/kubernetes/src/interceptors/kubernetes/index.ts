import { defineInterceptor } from "@millrace/core";
import { checkPodOptions, options } from "./options.ts";

export const interceptor = defineInterceptor({
  type: "kubernetes",
  aliases: [],
  summary: "Adds what the Kubernetes API server knows of an event's pod: node, image, labels.",
  options,
  guarantee: { atLeastOnce: true },
  example: `
edge.sources = pods
edge.channels = disk
edge.sinks = near
edge.sources.pods.type = TAILDIR
edge.sources.pods.channels = disk
edge.sources.pods.positionFile = /var/lib/millrace/edge/positions.json
edge.sources.pods.filegroups = web
edge.sources.pods.filegroups.web = /var/log/pods/shop_web-0_0f51f6ba/nginx/.*[.]log
edge.sources.pods.headers.web.uid = 0f51f6ba
edge.sources.pods.headers.web.container = nginx
edge.sources.pods.interceptors = meta
edge.sources.pods.interceptors.meta.type = kubernetes
edge.sources.pods.interceptors.meta.nodeName = worker-1
edge.sources.pods.interceptors.meta.labels = app.kubernetes.io/name
edge.channels.disk.type = file
edge.channels.disk.checkpointDir = /var/lib/millrace/edge/channel/checkpoint
edge.channels.disk.dataDirs = /var/lib/millrace/edge/channel/data
edge.sinks.near.type = avro
edge.sinks.near.channel = disk
edge.sinks.near.hostname = millrace-collector
edge.sinks.near.port = 4141
`,
  check: (values) => checkPodOptions(values),
  create: async (values, context) =>
    (await import("./kubernetes.ts")).createKubernetesInterceptor(values, context),
});
