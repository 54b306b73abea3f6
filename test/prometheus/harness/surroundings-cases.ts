import { inCluster, type RuleCase, series, target } from "./rule-case.ts";

const startedAt = target("process_start_time_seconds");
const longAgo = { [startedAt]: "-86400x400" };
const available = series("millrace_file_channel_available_bytes");
const reserved = series("millrace_file_channel_reserved_bytes");

const member = (sink: string, labels: Record<string, string> = {}): string =>
  series("millrace_sink_member_available", { component: "g", group: "g", sink, ...labels });
const hostsUp = (sink: string): string => series("millrace_sink_hosts_up", { component: sink });

const noPeer: readonly RuleCase[] = [
  {
    title: "fires when every member fails, and ends when one is back",
    series: { [member("k1")]: "0x20 1x20", [member("k2")]: "0x40" },
    firing: { 1: 0, 3: 1, 11: 0 },
  },
  {
    title: "is silent while one member works, whose host list is another's trouble",
    series: { [member("k1")]: "0x40", [member("k2")]: "1x40", [hostsUp("k1")]: "0x40" },
    firing: { 3: 0, 10: 0 },
  },
  {
    title: "fires for one node though the others of its name have peers",
    series: { [member("k1")]: "0x40", [member("k1", { instance: "n2:1" })]: "1x40" },
    firing: { 3: 1 },
  },
  {
    title: "is silent about a minute",
    series: { [member("k1")]: "1x10 0x2 1x20" },
    firing: { 6: 0, 7: 0, 8: 0 },
  },
  {
    title: "fires for a sink of no group",
    series: { [hostsUp("k")]: "1x4 0x20 1x20" },
    firing: { 3: 0, 5: 1, 14: 0 },
  },
  {
    title: "fires for a sink of no group though another cluster has one of its name in a group",
    series: {
      ...inCluster("a", { [hostsUp("k")]: "0x40" }),
      ...inCluster("b", { [hostsUp("k")]: "1x40", [member("k")]: "1x40" }),
    },
    firing: { 3: 1 },
  },
];

const errors = series("millrace_file_channel_errors_total", { kind: "sync" });
const syncs = (le: string): string => series("millrace_file_channel_sync_seconds_bucket", { le });
const syncCount = series("millrace_file_channel_sync_seconds_count");

const diskTrouble: readonly RuleCase[] = [
  {
    title: "fires on an error of the disk",
    series: { ...longAgo, [errors]: "2x10 3x40" },
    firing: { 5: 0, 7: 1, 12: 0 },
  },
  {
    title: "fires on an error before the first scrape",
    series: { [startedAt]: "_x11 320x40", [errors]: "_x11 1x40" },
    firing: { 7: 1, 12: 0 },
  },
  {
    title: "is silent about an old error when a pod of another cluster with its address starts",
    series: {
      ...inCluster("a", { ...longAgo, [errors]: "_x5 1x40" }),
      ...inCluster("b", { [startedAt]: "_x11 320x40" }),
    },
    firing: { 7: 0 },
  },
  {
    title: "is silent when a restart sets the counter back",
    series: { [startedAt]: "-86400x10 320x10", [errors]: "5x10 0x10" },
    firing: { 7: 0, 9: 0 },
  },
  {
    title: "fires near what puts leave alone",
    series: { [available]: "700x10 600x20 700x10", [reserved]: "500x40" },
    firing: { 4: 0, 7: 1, 16: 0 },
  },
  {
    title: "fires when syncs are slow",
    series: {
      [syncs("0.5")]: "0x40",
      [syncs("1.0")]: "0x40",
      [syncs("5.0")]: "0+1x40",
      [syncs("+Inf")]: "0+1x40",
      [syncCount]: "0+1x40",
    },
    firing: { 5: 1, 10: 1 },
  },
  {
    title: "fires on what Prometheus 2 stores of slow syncs",
    series: {
      [syncs("1")]: "0x40",
      [syncs("5")]: "0+1x40",
      [syncs("+Inf")]: "0+1x40",
      [syncCount]: "0+1x40",
    },
    firing: { 5: 1 },
  },
  {
    title: "is silent about one slow sync among few",
    series: {
      [syncs("1.0")]: "0x40",
      [syncs("5.0")]: "0x8 1x40",
      [syncs("+Inf")]: "0x8 1x40",
      [syncCount]: "0x8 1x40",
    },
    firing: { 6: 0, 8: 0 },
  },
  {
    title: "is silent about fast ones",
    series: {
      [syncs("1.0")]: "0+100x40",
      [syncs("5.0")]: "0+100x40",
      [syncs("+Inf")]: "0+100x40",
      [syncCount]: "0+100x40",
    },
    firing: { 6: 0 },
  },
];

const up = (labels: Record<string, string> = {}): string => target("up", labels);
const kube = (name: string, labels: string): string => `kube_${name}{namespace="logs",${labels}}`;
const daemonSet = 'daemonset="millrace-edge"';
const statefulSet = 'statefulset="logs-millrace-collector"';
const deployment = 'deployment="millrace-collector"';

const agentGone: readonly RuleCase[] = [
  {
    title: "fires when an agent is down, and ends when it is back",
    series: { [up()]: "1x20 0x40 1x40" },
    firing: { 12: 0, 22: 1, 28: 1, 40: 0 },
  },
  {
    title: "fires when an agent crashes over and over",
    series: { [up()]: `1x20 ${"0 0 0 1 ".repeat(20)}` },
    firing: { 25: 1, 26: 1, 27: 1 },
  },
  {
    title: "is silent about a scrape that failed, and about a restart",
    series: { [up()]: "1x20 0 1x10 0x5 1x40" },
    firing: { 11: 0, 18: 0, 22: 0 },
  },
  {
    title: "is silent about a target that was taken away",
    series: { [up()]: "1x20 stale" },
    firing: { 15: 0, 25: 0 },
  },
  {
    title: "fires for what was once an agent, under a job of any name, and for no other job",
    series: {
      [up({ job: "pods" })]: "1x20 0x60",
      [up({ job: "pods", instance: "other:1" })]: "1x20 0x60",
      [series("millrace_config_generation", { job: "pods" })]: "7x20 stale",
    },
    firing: { 15: 0, 25: 1 },
  },
  {
    title: "fires for a pod that never ran",
    series: {
      [kube("daemonset_status_number_unavailable", daemonSet)]: "1x60",
      [kube("daemonset_status_updated_number_scheduled", daemonSet)]: "9x60",
      [kube("daemonset_status_number_unavailable", 'daemonset="other"')]: "1x60",
      [kube("statefulset_replicas", statefulSet)]: "3x60",
      [kube("statefulset_status_replicas_ready", statefulSet)]: "2x60",
      [kube("deployment_status_replicas_unavailable", deployment)]: "1x60",
    },
    firing: { 4: 0, 6: 3, 25: 3 },
  },
  {
    title:
      "fires for the pods of one cluster while another's roll out, and kube-state-metrics is there twice",
    series: {
      ...inCluster("a", {
        [kube("daemonset_status_number_unavailable", daemonSet)]: "1x60",
        [kube("daemonset_status_updated_number_scheduled", daemonSet)]: "9x60",
        [kube("statefulset_replicas", statefulSet)]: "3x60",
        [kube("statefulset_status_replicas_ready", statefulSet)]: "2x60",
        [kube("statefulset_status_replicas_updated", statefulSet)]: "3x60",
        [kube("deployment_status_replicas_unavailable", deployment)]: "1x60",
        [kube("deployment_status_replicas_updated", deployment)]: "3x60",
        [up({ job: "pods" })]: "1x20 0x60",
      }),
      ...inCluster("b", {
        [kube("daemonset_status_number_unavailable", daemonSet)]: "1x60",
        [kube("daemonset_status_updated_number_scheduled", daemonSet)]: "0+1x60",
        [kube("statefulset_replicas", statefulSet)]: "3x60",
        [kube("statefulset_status_replicas_ready", statefulSet)]: "2x60",
        [kube("statefulset_status_replicas_updated", statefulSet)]: "0+1x60",
        [kube("deployment_status_replicas_unavailable", deployment)]: "1x60",
        [kube("deployment_status_replicas_updated", deployment)]: "0+1x60",
        [series("millrace_config_generation", { job: "pods" })]: "7x60",
      }),
      [kube("statefulset_replicas", `instance="k2",${statefulSet}`)]: "3x60",
      [kube("statefulset_status_replicas_ready", `instance="k2",${statefulSet}`)]: "3x60",
    },
    firing: { 4: 0, 6: 3, 25: 3 },
  },
  {
    title: "is silent while a rollout makes progress",
    series: {
      [kube("daemonset_status_number_unavailable", daemonSet)]: "1x60",
      [kube("daemonset_status_updated_number_scheduled", daemonSet)]: "0+0.2x60",
      [kube("statefulset_replicas", statefulSet)]: "3x60",
      [kube("statefulset_status_replicas_ready", statefulSet)]: "2x60",
      [kube("statefulset_status_replicas_updated", statefulSet)]: "0x10 1x15 2x30",
      [kube("deployment_status_replicas_unavailable", deployment)]: "1x40",
      [kube("deployment_status_replicas_updated", deployment)]: "0+1x40",
    },
    firing: { 10: 0, 20: 0 },
  },
  {
    title: "is silent when all are ready",
    series: {
      [kube("daemonset_status_number_unavailable", daemonSet)]: "0x60",
      [kube("statefulset_replicas", statefulSet)]: "3x60",
      [kube("statefulset_status_replicas_ready", statefulSet)]: "3x60",
      [kube("deployment_status_replicas_unavailable", deployment)]: "0x60",
    },
    firing: { 20: 0 },
  },
];

const delivered = (labels: Record<string, string> = {}): string =>
  series("millrace_sink_delivered_events_total", { component: "near", type: "avro", ...labels });
const collector = { role: "collector", agent: "collector", instance: "c1:1" };
const accepted = series("millrace_source_accepted_events_total", { ...collector, type: "avro" });
const collectorStartedAt = target("process_start_time_seconds", { instance: "c1:1" });
const collectorLongAgo = { [collectorStartedAt]: "-86400x400" };

const hopImbalance: readonly RuleCase[] = [
  {
    title: "fires when a hop keeps a tenth less than it acknowledges",
    series: { ...collectorLongAgo, [delivered()]: "0+1000x300", [accepted]: "0+900x300" },
    firing: { 25: 0, 70: 1, 120: 1 },
  },
  {
    title: "is silent when all arrives, and more by retries",
    series: { ...collectorLongAgo, [delivered()]: "0+1000x300", [accepted]: "0+1010x300" },
    firing: { 70: 0, 120: 0 },
  },
  {
    title: "is silent about half a per cent",
    series: { ...collectorLongAgo, [delivered()]: "0+1000x300", [accepted]: "0+995x300" },
    firing: { 70: 0, 120: 0 },
  },
  {
    title: "is silent about a few events",
    series: { ...collectorLongAgo, [delivered()]: "0+1x300", [accepted]: "0+0x300" },
    firing: { 120: 0 },
  },
  {
    title: "fires though a pod of another cluster with a collector's address has just started",
    series: {
      ...inCluster("a", {
        ...collectorLongAgo,
        [delivered()]: "0+1000x300",
        [accepted]: "0+900x300",
      }),
      ...inCluster("b", { [collectorStartedAt]: "6000x300" }),
    },
    firing: { 120: 1 },
  },
  {
    title: "is silent for an hour after a collector's start, which takes counts with it",
    series: {
      [collectorStartedAt]: "-86400x100 3000x300",
      [delivered()]: "0+1000x300",
      [accepted]: "0+1000x90 _x11 0+1000x300",
    },
    firing: { 60: 0, 90: 0, 105: 0, 140: 0 },
  },
  {
    title: "is silent where no collector is scraped, as when Java's take the events",
    series: { [delivered()]: "0+1000x300" },
    firing: { 120: 0 },
  },
  {
    title: "is silent about what went to another cluster",
    series: { ...collectorLongAgo, [delivered({ component: "far" })]: "0+1000x300", [accepted]: "0x300" }, // prettier-ignore
    firing: { 120: 0 },
  },
];

/** Of the alerts about peers, disks and processes. */
export const surroundingsCases: Readonly<Record<string, readonly RuleCase[]>> = {
  MillraceNoPeer: noPeer,
  MillraceDiskTrouble: diskTrouble,
  MillraceAgentGone: agentGone,
  MillraceHopImbalance: hopImbalance,
};
