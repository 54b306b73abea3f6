import { EventBatch, MillraceError } from "@millrace/core";

/** An event as an application writes it. A text is sent as UTF-8. */
export interface EventInput {
  readonly body: Uint8Array | string;
  /** Any name is fine in a map; in an object, `__proto__` is one only when it is its own property. */
  readonly headers?: ReadonlyMap<string, string> | Readonly<Record<string, string>>;
}

/** The events as bytes. Throws EVENT_REJECTED for what is no event, which types would have said. */
export function toEventBatch(events: EventBatch | Iterable<EventInput>): EventBatch {
  if (events instanceof EventBatch) return events;
  let index = 0;
  const read = function* (): Iterable<{ headers: ReadonlyMap<string, string>; body: Uint8Array }> {
    for (const { body, headers } of events) {
      yield { headers: headersOf(headers, index), body: bytesOf(body, index) };
      index++;
    }
  };
  return EventBatch.fromEvents(read());
}

const none: ReadonlyMap<string, string> = new Map();

function headersOf(headers: EventInput["headers"], index: number): ReadonlyMap<string, string> {
  if (headers === undefined) return none;
  const map = headers instanceof Map ? headers : new Map(Object.entries(headers));
  for (const [name, value] of map as Map<unknown, unknown>) {
    if (typeof name !== "string" || typeof value !== "string") {
      throw rejected(index, `header ${String(name)} is ${typeof value}, not text`);
    }
  }
  return map;
}

function bytesOf(body: Uint8Array | string, index: number): Uint8Array {
  if (typeof body === "string") return Buffer.from(body);
  if (body instanceof Uint8Array) return body;
  throw rejected(index, `its body is ${typeof body}, not bytes or text`);
}

function rejected(index: number, why: string): MillraceError {
  return new MillraceError("EVENT_REJECTED", `event ${index} of the batch cannot be sent: ${why}`);
}
