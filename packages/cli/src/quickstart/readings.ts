/** What an agent's `/metrics` said at one moment, as far as the quickstart shows it. */
export interface Reading {
  readonly atMs: number;
  readonly accepted: number;
  readonly delivered: number;
  readonly held: number;
  /** Of what its channels hold; undefined when they hold nothing. */
  readonly oldestSeconds: number | undefined;
  /** Delivered by each sink. */
  readonly bySink: ReadonlyMap<string, number>;
}

export interface Rates {
  readonly inPerSecond: number;
  readonly outPerSecond: number;
}

/** From Flume's JSON, `CHANNEL.disk` and the like to attributes that are text, and Prometheus' lines. */
export function parseReading(json: unknown, prometheus: string, atMs: number): Reading {
  const groups = Object.entries(json as Record<string, Record<string, string>>);
  const sum = (kind: string, attribute: string): number =>
    groups
      .filter(([name]) => name.startsWith(`${kind}.`))
      .reduce((total, [, attributes]) => total + numberOf(attributes, attribute), 0);
  return {
    atMs,
    accepted: sum("SOURCE", "EventAcceptedCount"),
    delivered: sum("SINK", "EventDrainSuccessCount"),
    held: sum("CHANNEL", "ChannelSize"),
    oldestSeconds: oldestOf(prometheus),
    bySink: new Map(
      groups
        .filter(([name]) => name.startsWith("SINK."))
        .map(([name, attributes]) => [
          name.slice("SINK.".length),
          numberOf(attributes, "EventDrainSuccessCount"),
        ]),
    ),
  };
}

function oldestOf(prometheus: string): number | undefined {
  const samples = prometheus.matchAll(
    /^millrace_channel_oldest_event_age_seconds(?:\{[^\n]*\})? (\S+)$/gm,
  );
  const ages = [...samples].map(([, value]) => Number(value)).filter(Number.isFinite);
  return ages.length === 0 ? undefined : Math.max(...ages);
}

function numberOf(attributes: Record<string, string>, name: string): number {
  const value = Number(attributes[name]);
  return Number.isFinite(value) ? value : 0;
}

/** Two readings right behind each other say nothing about a rate. */
const rateWindowMs = 400;

/** Over the readings kept, which are of one life of the agent: its counters start again with it. */
export function ratesOf(readings: readonly Reading[]): Rates {
  const first = readings[0];
  const last = readings.at(-1);
  if (first === undefined || last === undefined || last.atMs - first.atMs < rateWindowMs) {
    return { inPerSecond: 0, outPerSecond: 0 };
  }
  const seconds = (last.atMs - first.atMs) / 1000;
  return {
    inPerSecond: Math.round((last.accepted - first.accepted) / seconds),
    outPerSecond: Math.round((last.delivered - first.delivered) / seconds),
  };
}

/** The sink that delivered since the reading before; undefined when none did. */
export function activeSink(before: Reading, now: Reading): string | undefined {
  let active: string | undefined;
  let most = 0;
  for (const [name, delivered] of now.bySink) {
    const gained = delivered - (before.bySink.get(name) ?? 0);
    if (gained > most) {
      active = name;
      most = gained;
    }
  }
  return active;
}
