import { type AgentReport, type ChannelReport, isFull, type Severity } from "./agent-report.ts";
import { bytesText, durationText } from "./figures.ts";
import type { Sample } from "./prometheus-text.ts";
import type { Reading } from "./read-agent.ts";

const lateSeconds = 900;
/** A channel that stands still is worth a word when its oldest event has waited this long. */
const standstillSeconds = 30;
/** And when many deliveries could have been made since the look before. */
const missedDeliveries = 10;

/** What two readings of one agent say; of one alone there are no rates. */
export function assess(before: Reading | undefined, now: Reading): AgentReport {
  const { address, notReady, problem, samples } = now;
  if (samples === undefined) return unreachable(address, problem ?? "no answer");
  const earlier = isSameLife(before, now) ? before : undefined;
  const seconds = earlier === undefined ? undefined : (now.atMs - earlier.atMs) / 1000;
  const rate = (name: string): number | undefined =>
    seconds === undefined
      ? undefined
      : (sum(samples, name) - sum(earlier?.samples, name)) / seconds;
  const channels = channelsOf(earlier, now, seconds);
  const outPerSecond = rate("millrace_sink_delivered_events_total");
  const failing = failingSinks(earlier?.samples, samples);
  const isStuck = channels.some(({ events, name }) => events > 0 && gaveNone(earlier, now, name));
  const why = [
    ...(notReady === undefined ? [] : [notReady]),
    ...channels.filter(isFull).map(({ name }) => `channel ${name} is full: its sources wait`),
    ...diskTrouble(samples, channels),
    ...failing,
    ...(failing.length > 0 ? [] : standstills(earlier, now, channels, seconds)),
    ...losses(samples),
    ...late(channels),
  ];
  const severity = ((): Severity => {
    if (notReady !== undefined) return "not ready";
    if (channels.some(isFull) || diskTrouble(samples, channels).length > 0) return "full";
    if (isStuck && failing.length > 0) return "stuck";
    return why.length > 0 ? "attention" : "ok";
  })();
  const [any] = samples.filter(({ labels }) => labels.has("agent"));
  return {
    address,
    agent: any?.labels.get("agent"),
    role: any?.labels.get("role"),
    severity,
    channels,
    inPerSecond: rate("millrace_source_accepted_events_total"),
    outPerSecond,
    why,
    generation: named(samples, "millrace_config_generation")[0]?.value,
  };
}

/** The report of what cannot be asked. */
export function unreachable(address: string, why: string): AgentReport {
  const nothing = { inPerSecond: undefined, outPerSecond: undefined, generation: undefined };
  const who = { address, agent: undefined, role: undefined };
  return { ...who, ...nothing, severity: "unreachable", channels: [], why: [why] };
}

/** Counters start again with a process; a channel's go on. */
function isSameLife(before: Reading | undefined, now: Reading): boolean {
  if (before?.samples === undefined || before.atMs >= now.atMs) return false;
  const startOf = ({ samples = [] }: Reading): number | undefined =>
    named(samples, "process_start_time_seconds")[0]?.value;
  return startOf(before) === startOf(now);
}

/** Whether a channel gave nothing between two readings; its neighbours may well have given. */
function gaveNone(before: Reading | undefined, { samples }: Reading, channel: string): boolean {
  const taken = (all: readonly Sample[] = []): number | undefined =>
    named(all, "millrace_channel_taken_events_total").find(
      ({ labels }) => labels.get("component") === channel,
    )?.value;
  const count = taken(samples);
  return before !== undefined && count !== undefined && taken(before.samples) === count;
}

function channelsOf(
  before: Reading | undefined,
  { samples = [] }: Reading,
  seconds: number | undefined,
): ChannelReport[] {
  return named(samples, "millrace_channel_events").map(({ labels, value: events }) => {
    const name = labels.get("component") ?? "";
    const of = (all: readonly Sample[], metric: string): number | undefined =>
      named(all, metric).find((sample) => sample.labels.get("component") === name)?.value;
    const bytes = of(samples, "millrace_channel_bytes");
    const capacityBytes = of(samples, "millrace_channel_capacity_bytes");
    const bytesBefore = of(before?.samples ?? [], "millrace_channel_bytes");
    const oldest = of(samples, "millrace_channel_oldest_event_age_seconds");
    return {
      ...{ name, type: labels.get("type") ?? "", events, bytes, capacityBytes },
      oldestSeconds: events > 0 && Number.isFinite(oldest) ? oldest : undefined,
      fullInSeconds: fullIn(bytes, bytesBefore, capacityBytes, seconds),
    };
  });
}

function fullIn(
  bytes: number | undefined,
  before: number | undefined,
  capacity: number | undefined,
  seconds: number | undefined,
): number | undefined {
  if (bytes === undefined || before === undefined) return undefined;
  if (capacity === undefined || seconds === undefined || bytes <= before) return undefined;
  return Math.max(0, capacity - bytes) / ((bytes - before) / seconds);
}

/** Sinks that fail now, each with its last reason. */
function failingSinks(before: readonly Sample[] | undefined, now: readonly Sample[]): string[] {
  const failing = new Map<string, string>();
  for (const { labels, value } of named(now, "millrace_sink_member_failing_info")) {
    if (value > 0) failing.set(labels.get("sink") ?? "", labels.get("reason") ?? "");
  }
  const earlier = new Map(
    named(before ?? [], "millrace_sink_failures_total").map((sample) => [keyOf(sample), sample]),
  );
  const down = new Set(
    named(now, "millrace_sink_hosts_up")
      .filter(({ value }) => value === 0)
      .map(({ labels }) => labels.get("component") ?? ""),
  );
  for (const sample of named(now, "millrace_sink_failures_total")) {
    const sink = sample.labels.get("component") ?? "";
    const reason = sample.labels.get("reason") ?? "";
    const grows = before !== undefined && sample.value > (earlier.get(keyOf(sample))?.value ?? 0);
    const isDown = down.has(sink) && sample.value > 0;
    if ((grows || isDown) && !failing.has(sink)) failing.set(sink, reason);
  }
  for (const { labels, value } of named(now, "millrace_sink_failing_info")) {
    const sink = labels.get("component") ?? "";
    if (value > 0 && !failing.has(sink)) failing.set(sink, labels.get("reason") ?? "");
  }
  return [...failing].map(([sink, reason]) => `sink ${sink} fails: ${reason}`);
}

/**
 * Channels that hold events and gave none between two looks, though no sink fails: a delivery that never
 * ends is not told from a long one by anything else. Nothing is said of agents whose deliveries take so
 * long that none need have ended between the looks, as of a sink that waits for its file to be full.
 */
function standstills(
  before: Reading | undefined,
  now: Reading,
  channels: readonly ChannelReport[],
  seconds: number | undefined,
): string[] {
  const usual = slowestDelivery(now.samples ?? []);
  if (seconds === undefined || usual === undefined || seconds < usual * missedDeliveries) return [];
  return channels
    .filter(({ events, name, oldestSeconds = 0 }) => {
      return events > 0 && oldestSeconds > standstillSeconds && gaveNone(before, now, name);
    })
    .map(({ name, oldestSeconds = 0 }) => {
      const oldest = durationText(oldestSeconds);
      return `channel ${name} gives nothing, its oldest event waits ${oldest}, no sink fails: does one hang?`;
    });
}

/** How long a successful delivery takes on average at the slowest sink; undefined when none succeeded yet. */
function slowestDelivery(samples: readonly Sample[]): number | undefined {
  const successes = (part: string): Sample[] =>
    named(samples, `millrace_sink_delivery_seconds_${part}`).filter(
      ({ labels, value }) => labels.get("result") === "ok" && value > 0,
    );
  const sums = new Map(successes("sum").map((sample) => [keyOf(sample), sample.value]));
  const means = successes("count").map((sample) => (sums.get(keyOf(sample)) ?? 0) / sample.value);
  return means.length === 0 ? undefined : Math.max(...means);
}

function diskTrouble(samples: readonly Sample[], channels: readonly ChannelReport[]): string[] {
  const reserved = new Map(
    named(samples, "millrace_file_channel_reserved_bytes").map(({ labels, value }) => [
      labels.get("component"),
      value,
    ]),
  );
  return named(samples, "millrace_file_channel_available_bytes").flatMap(({ labels, value }) => {
    const name = labels.get("component") ?? "";
    const kept = reserved.get(name) ?? 0;
    if (value > kept) return [];
    const ours = channels.find((channel) => channel.name === name)?.bytes ?? 0;
    return [
      `the disk of channel ${name} is full: ${bytesText(value)} free, ${bytesText(kept)} are to stay free; ` +
        `ours are ${bytesText(ours)}, the rest is others'`,
    ];
  });
}

function losses(samples: readonly Sample[]): string[] {
  const lost = named(samples, "millrace_events_discarded_total")
    .filter(({ labels, value }) => labels.get("intended") === "false" && value > 0)
    .map(
      ({ labels, value }) =>
        `${labels.get("component")} has lost ${value} events: ${labels.get("reason")}`,
    );
  const bytes = sum(samples, "millrace_source_unread_lost_bytes_total");
  return bytes > 0 ? [...lost, `${bytesText(bytes)} of files were lost unread`] : lost;
}

/** Channels whose oldest event has waited too long. */
export function late(channels: readonly ChannelReport[]): string[] {
  return channels
    .filter(({ oldestSeconds = 0 }) => oldestSeconds > lateSeconds)
    .map(({ name }) => `channel ${name} holds events older than ${lateSeconds / 60} minutes`);
}

function named(samples: readonly Sample[], name: string): Sample[] {
  return samples.filter((sample) => sample.name === name);
}

function sum(samples: readonly Sample[] | undefined, name: string): number {
  return named(samples ?? [], name).reduce((total, { value }) => total + value, 0);
}

function keyOf({ labels }: Sample): string {
  return [...labels].join("|");
}
