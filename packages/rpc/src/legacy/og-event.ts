/** An event of Flume 0.9, called OG, on either of its wires. Absent is what the sender left out. */
export interface OgEvent {
  readonly timestamp: bigint;
  readonly priority: string | undefined;
  readonly body: Buffer;
  readonly nanos: bigint;
  readonly host: string | undefined;
  /** Decoded as UTF-8; an empty list is no fields. */
  readonly fields: readonly (readonly [name: string, value: string])[];
}

/** By number: 0 to 5. */
export const ogPriorities = ["FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE"] as const;

/** The headers as Flume's legacy sources set them: a field may take the place of one of ours. */
export function ogHeaders(event: OgEvent): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  if (event.host !== undefined) headers.set("host", event.host);
  headers.set("timestamp", String(event.timestamp));
  if (event.priority !== undefined) headers.set("pri", event.priority);
  headers.set("nanos", String(event.nanos));
  for (const [name, value] of event.fields) headers.set(name, value);
  headers.set("FlumeOG", "yes");
  return headers;
}
