import { type RuleCase, series } from "./rule-case.ts";

const member = (sink: string): string =>
  series("millrace_sink_member_available", { component: "g", group: "g", sink });
const deliveries = (result: string, component = "k"): string =>
  series("millrace_sink_delivery_seconds_count", { component, result });
const generation = (labels: Record<string, string> = {}): string =>
  series("millrace_config_generation", { component: "edge", ...labels });
const expiry = series("millrace_tls_certificate_expiry_seconds", { use: "server" });
const lag = (quantile: string): string =>
  series("millrace_event_loop_lag_seconds", { component: "edge", quantile });
const doubled = series("millrace_direct_possible_duplicates_total");
const taken = series("millrace_channel_taken_events_total");

const days = (count: number): number => count * 86_400;

export const ticketCases: Readonly<Record<string, readonly RuleCase[]>> = {
  MillraceMemberDown: [
    {
      title: "fires when one member fails for fifteen minutes, and ends when it is back",
      series: { [member("k1")]: "1x60", [member("k2")]: "0x40 1x20" },
      firing: { 14: 0, 16: 1, 21: 0 },
    },
    {
      title: "is silent about ten minutes",
      series: { [member("k1")]: "1x60", [member("k2")]: "1x10 0x20 1x30" },
      firing: { 14: 0, 16: 0, 25: 0 },
    },
  ],
  MillraceCertificateExpiry: [
    {
      title: "fires in the last fourteen days, and ends with a new certificate",
      series: { [expiry]: `${days(14) + 60}-30x40 ${days(90)}x40` },
      firing: { 2: 0, 13: 1, 21: 0 },
    },
    {
      title: "is silent when a month is left",
      series: { [expiry]: `${days(30)}-30x60` },
      firing: { 20: 0 },
    },
  ],
  MillraceRejected: [
    {
      title: "fires when a store refuses for good, and ends fifteen minutes after the last time",
      series: { [deliveries("reject")]: "0x10 1x60" },
      firing: { 5: 0, 6: 1, 22: 0 },
    },
    {
      title: "fires when a file is set aside",
      series: { [series("millrace_source_files_set_aside_total")]: "0x10 1x20" },
      firing: { 6: 1 },
    },
    {
      title: "is silent about retries, and about a restart",
      series: { [deliveries("retry")]: "0+1x40", [deliveries("reject")]: "5x10 0x40" },
      firing: { 6: 0, 15: 0 },
    },
  ],
  MillraceRetries: [
    {
      title: "fires when one delivery in ten is a retry for half an hour",
      series: { [deliveries("ok")]: "0+9x100 900+9x60", [deliveries("retry")]: "0+1x100 100x60" },
      firing: { 30: 0, 35: 1, 75: 0 },
    },
    {
      title: "is silent at 4 %",
      series: { [deliveries("ok")]: "0+96x100", [deliveries("retry")]: "0+4x100" },
      firing: { 40: 0 },
    },
    {
      title: "is silent about two retries among few",
      series: { [deliveries("ok")]: "0x20 1x80", [deliveries("retry")]: "0x20 2x80" },
      firing: { 12: 0, 40: 0, 45: 0 },
    },
    {
      title: "is silent about a sink that does nothing",
      series: { [deliveries("ok")]: "7x100", [deliveries("retry")]: "0x100" },
      firing: { 40: 0 },
    },
  ],
  MillraceMixedConfig: [
    {
      title: "fires when agents of one name differ for fifteen minutes, and ends when they agree",
      series: {
        [generation()]: "262485671403121x80",
        [generation({ instance: "n2:1" })]: "262485671403122x40 262485671403121x40",
      },
      firing: { 14: 0, 16: 1, 21: 0 },
    },
    {
      title: "is silent about a rollout of ten minutes",
      series: { [generation()]: "1x10 2x60", [generation({ instance: "n2:1" })]: "1x30 2x40" },
      firing: { 10: 0, 14: 0, 20: 0 },
    },
    {
      title: "is silent about two releases in one namespace, which have files of their own",
      series: {
        [generation({ app_kubernetes_io_instance: "blue" })]: "1x60",
        [generation({ app_kubernetes_io_instance: "green", instance: "n1:2" })]: "2x60",
      },
      firing: { 20: 0 },
    },
    {
      title: "is silent about edges and collectors, which have files of their own",
      series: {
        [generation()]: "1x60",
        [generation({ agent: "collector", role: "collector", instance: "c1:1" })]: "2x60",
      },
      firing: { 20: 0 },
    },
  ],
  MillraceReloadFailed: [
    {
      title: "fires when a configuration was refused, and ends when one runs",
      series: { [series("millrace_config_last_reload_success")]: "1x10 0x20 1x20" },
      firing: { 5: 0, 12: 1, 17: 0 },
    },
    {
      title: "is silent about a minute between two files of one change",
      series: { [series("millrace_config_last_reload_success")]: "1x10 0x2 1x20" },
      firing: { 6: 0, 11: 0 },
    },
  ],
  MillraceEventLoopLag: [
    {
      title: "fires when the event loop is late for fifteen minutes",
      series: { [lag("0.99")]: "0.3x40 0.1x20", [lag("0.5")]: "0.01x60" },
      firing: { 14: 0, 16: 1, 21: 0 },
    },
    {
      title: "is silent about a lag of a fifth of a second",
      series: { [lag("0.99")]: "0.2x60" },
      firing: { 20: 0 },
    },
    {
      title: "is silent about one pause, and about the median",
      series: { [lag("0.99")]: "0.1x10 3 0.1x40", [lag("0.5")]: "0.3x60" },
      firing: { 6: 0, 20: 0 },
    },
  ],
  MillraceDuplicates: [
    {
      title: "fires when more than one event in a hundred may be doubled",
      series: { [doubled]: "0+3x100 300x60", [taken]: "0+100x160" },
      firing: { 14: 0, 17: 1, 70: 0 },
    },
    {
      title: "is silent at one in two hundred",
      series: { [doubled]: "0+1x100", [taken]: "0+200x100" },
      firing: { 30: 0 },
    },
  ],
};
