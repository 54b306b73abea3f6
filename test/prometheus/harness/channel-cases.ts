import { inCluster, type RuleCase, series, target } from "./rule-case.ts";

const discarded = (labels: Record<string, string> = {}): string =>
  series("millrace_events_discarded_total", { reason: "unmatched_route", intended: "false", ...labels }); // prettier-ignore
const startedAt = target("process_start_time_seconds");
const longAgo = { [startedAt]: "-86400x400" };
const unreadLost = series("millrace_source_unread_lost_bytes_total");

const eventsLost: readonly RuleCase[] = [
  {
    title: "fires for five minutes after a loss",
    series: { ...longAgo, [discarded()]: "0x10 3x100" },
    firing: { 5: 0, 6: 1, 9: 1, 12: 0 },
  },
  {
    title: "fires once for each agent of one name",
    series: {
      [discarded()]: "0x10 3x10",
      [discarded({ instance: "n2:1" })]: "0x10 3x10",
      [discarded({ instance: "n3:1" })]: "0x20",
    },
    firing: { 6: 2 },
  },
  {
    title: "is silent about what was meant to go",
    series: { [discarded({ reason: "interceptor", intended: "true" })]: "0+9x40" },
    firing: { 6: 0, 15: 0 },
  },
  {
    title: "is silent when a restart sets the counter back",
    series: { [startedAt]: "-86400x10 320x10", [discarded()]: "7x10 0x10" },
    firing: { 6: 0, 9: 0 },
  },
  {
    title: "is silent when a scrape is missing",
    series: { ...longAgo, [discarded()]: "7x5 _x3 7x20" },
    firing: { 3: 0, 4: 0, 6: 0 },
  },
  {
    title: "fires for a loss before the first scrape",
    series: { [startedAt]: "_x11 320x40", [discarded()]: "_x11 3x40" },
    firing: { 6: 1, 12: 0 },
  },
  {
    title: "fires when a restarted agent loses as many as it had lost before",
    series: { [startedAt]: "-86400x10 320x10", [discarded()]: "3x20" },
    firing: { 5: 0, 6: 1 },
  },
  {
    title:
      "is silent about old losses in one cluster when a pod of another with its address starts",
    series: {
      ...inCluster("a", longAgo),
      ...inCluster("b", { [startedAt]: "_x11 320x60" }),
      ...inCluster("a", { [discarded()]: "_x5 3x60", [unreadLost]: "_x5 3x60" }),
    },
    firing: { 6: 0, 9: 0 },
  },
  {
    title: "is silent about old losses of an agent that is scraped for the first time",
    series: { ...longAgo, [discarded()]: "_x11 3x40" },
    firing: { 6: 0, 10: 0 },
  },
  {
    title: "is silent about a total that goes on over a restart",
    series: { [startedAt]: "_x11 320x40", [discarded({ reason: "corrupt_record" })]: "_x11 3x40" },
    firing: { 6: 0 },
  },
  {
    title: "fires for a corrupt record while an agent runs",
    series: { ...longAgo, [discarded({ reason: "corrupt_record" })]: "3x10 4x10" },
    firing: { 6: 1 },
  },
  {
    title: "fires for bytes that rotated away unread, and for those before the first scrape",
    series: {
      [startedAt]: "_x11 320x40",
      [unreadLost]: "0x10 800x40",
      [series("millrace_source_unread_lost_bytes_total", { component: "t" })]: "_x11 800x40",
    },
    firing: { 5: 0, 6: 2, 12: 0 },
  },
];

const held = (type = "file"): string => series("millrace_channel_events", { type });
const taken = (type = "file"): string => series("millrace_channel_taken_events_total", { type });
const withdrawn = series("millrace_direct_withdrawn_events_total", { type: "direct" });
const late = series("millrace_direct_late_events_total", { type: "direct" });

const channelStuck: readonly RuleCase[] = [
  {
    title: "fires when events are held and none is taken, and ends when they are",
    series: { [held()]: "5x60 0x20", [taken()]: "100x60 105x20" },
    firing: { 4: 0, 11: 1, 20: 1, 31: 0 },
  },
  {
    title: "fires though scrapes are missing",
    series: { [held()]: "5x10 _x2 5x40", [taken()]: "100x10 _x2 100x40" },
    firing: { 11: 1, 20: 1 },
  },
  {
    title: "fires when nothing is known of what was taken",
    series: { [held()]: "5x60" },
    firing: { 11: 1 },
  },
  {
    title: "is silent when a channel is drained and nothing comes",
    series: { [held()]: "5x4 0x60", [taken()]: "100x64" },
    firing: { 11: 0, 30: 0 },
  },
  {
    title: "is silent about an idle channel that is seen with an event now and then",
    series: { [held()]: "0 0 5 0 0 0 0 5 0 0 0 0 0 0 5 0 0 5x3 0x20", [taken()]: "100x64" },
    firing: { 5: 0, 8: 0, 11: 0, 15: 0 },
  },
  {
    title: "is silent while a full channel moves",
    series: { [held()]: "90000x60", [taken()]: "0+1x60" },
    firing: { 11: 0, 30: 0 },
  },
  {
    title: "is silent when a restart sets the counter back",
    series: { [held()]: "5x60", [taken()]: "900+10x20 0+10x40" },
    firing: { 11: 0, 13: 0, 20: 0 },
  },
  {
    title: "fires when a direct channel's senders are sent away, though it holds nothing",
    series: { [held("direct")]: "0x60", [taken("direct")]: "7x60", [withdrawn]: "0+10x60" },
    firing: { 4: 0, 11: 1 },
  },
  {
    title: "fires when a direct channel's sinks take and do not deliver",
    series: { [held("direct")]: "9x60", [taken("direct")]: "7x60", [late]: "0+10x60" },
    firing: { 11: 1 },
  },
  {
    title: "is silent while a slow direct channel moves",
    series: { [held("direct")]: "9x60", [taken("direct")]: "0+1x60", [withdrawn]: "0+10x60" },
    firing: { 11: 0, 20: 0 },
  },
  {
    title: "is silent about what is under way in a direct channel",
    series: { [held("direct")]: "9x60", [taken("direct")]: "7x60", [withdrawn]: "0x60" },
    firing: { 11: 0 },
  },
];

const bytes = (type = "file"): string => series("millrace_channel_bytes", { type });
const capacity = (type = "file"): string => series("millrace_channel_capacity_bytes", { type });
const available = series("millrace_file_channel_available_bytes", { type: "file" });
const reserved = series("millrace_file_channel_reserved_bytes", { type: "file" });
const flume = (name: string): string => `Flume_${name}{job="millrace",instance="n1:1",component="c"}`; // prettier-ignore

const full: readonly RuleCase[] = [
  {
    title: "fires when a channel fills within the hour, and ends when it empties",
    series: { [bytes()]: "0+10000000x50 500000000-20000000x25", [capacity()]: "1000000000x80" },
    firing: { 3: 0, 20: 1, 36: 0 },
  },
  {
    title: "is silent about one that takes ten hours",
    series: { [bytes()]: "0+1000000x60", [capacity()]: "1000000000x60" },
    firing: { 20: 0, 30: 0 },
  },
  {
    title: "is silent about a burst that leaves it nearly empty",
    series: { [bytes()]: "0x20 100000000x60", [capacity()]: "1000000000x80" },
    firing: { 15: 0, 18: 0, 25: 0 },
  },
  {
    title: "fires when a channel stays full, and not when it was for two minutes",
    series: {
      [bytes()]: "960000000x30",
      [capacity()]: "1000000000x60",
      [series("millrace_channel_bytes", { instance: "n2:1" })]: "10x10 960000000x4 10x50",
      [series("millrace_channel_capacity_bytes", { instance: "n2:1" })]: "1000000000x60",
    },
    firing: { 6: 1, 8: 1, 12: 1 },
  },
  {
    title: "is silent at 94 %, emptying",
    series: { [bytes()]: "940000000-1000000x60", [capacity()]: "1000000000x60" },
    firing: { 10: 0, 20: 0 },
  },
  {
    title: "fires when the disk is full before the channel is",
    series: {
      [bytes()]: "0+10000000x60",
      [capacity()]: "1000000000000x60",
      [available]: "1500000000-10000000x60",
      [reserved]: "500000000x60",
    },
    firing: { 10: 1 },
  },
  {
    title: "fires when the bound in events is reached",
    series: { [held()]: "98x40", [flume("ChannelSize")]: "98x40", [flume("ChannelCapacity")]: "100x40" }, // prettier-ignore
    firing: { 4: 0, 6: 1 },
  },
  {
    title: "fires in one of two clusters whose pods have the same addresses",
    series: {
      ...inCluster("a", {
        [held()]: "98x40",
        [flume("ChannelSize")]: "98x40",
        [flume("ChannelCapacity")]: "100x40",
      }),
      ...inCluster("b", {
        [held()]: "9x40",
        [flume("ChannelSize")]: "9x40",
        [flume("ChannelCapacity")]: "100x40",
      }),
    },
    firing: { 4: 0, 6: 1 },
  },
  {
    title: "is silent about a channel without a bound in events",
    series: { [held()]: "98x40", [flume("ChannelSize")]: "98x40", [flume("ChannelCapacity")]: "0x40" }, // prettier-ignore
    firing: { 6: 0 },
  },
  {
    title: "is silent about a direct channel that makes its senders wait",
    series: {
      [bytes("direct")]: "990000000x40",
      [capacity("direct")]: "1000000000x40",
      [held("direct")]: "98x40",
      [flume("ChannelSize")]: "98x40",
      [flume("ChannelCapacity")]: "100x40",
    },
    firing: { 6: 0, 15: 0 },
  },
];

const age = series("millrace_channel_oldest_event_age_seconds");
const tooOld: readonly RuleCase[] = [
  {
    title: "fires ten minutes after an event is fifteen minutes old, and ends when it is delivered",
    series: { [age]: "0+30x60 0x20" },
    firing: { 15: 0, 24: 0, 27: 1, 32: 0 },
  },
  {
    title: "is silent when the channel is drained in time",
    series: { [age]: "0+30x40 0x40" },
    firing: { 18: 0, 27: 0 },
  },
  {
    title: "fires for the one node among others of its name",
    series: { [age]: "0+30x60", [series("millrace_channel_oldest_event_age_seconds", { instance: "n2:1" })]: "1x60" }, // prettier-ignore
    firing: { 27: 1 },
  },
];

/** Of the alerts about what channels hold and what is lost. */
export const channelCases: Readonly<Record<string, readonly RuleCase[]>> = {
  MillraceEventsLost: eventsLost,
  MillraceChannelStuck: channelStuck,
  MillraceFullWithinTheHour: full,
  MillraceTooOld: tooOld,
};
