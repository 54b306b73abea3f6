/**
 * Flume's Thrift service, as numbers on the wire (proto/flume.thrift has it as text):
 *
 *   append(1: ThriftFlumeEvent event) -> Status
 *   appendBatch(1: list<ThriftFlumeEvent> events) -> Status
 *   ThriftFlumeEvent { 1: required map<string,string> headers, 2: required binary body }
 *   Status OK = 0, FAILED = 1, ERROR = 2, UNKNOWN = 3          not Avro's: ERROR stands between
 */

/** Both ends must be set to the same: it is not negotiated. */
export type ThriftProtocol = "compact" | "binary";

export type ThriftMessageName = "append" | "appendBatch";

export type ThriftStatus = "OK" | "FAILED" | "ERROR" | "UNKNOWN";

export const statuses: readonly ThriftStatus[] = ["OK", "FAILED", "ERROR", "UNKNOWN"];

export const messageTypes = { call: 1, reply: 2, exception: 3, oneway: 4 } as const;

/** The types of values, as the binary protocol numbers them; compact's numbers are turned into these. */
export const types = {
  stop: 0,
  /** A boolean of the compact protocol that lies in its field's header and takes no bytes of its own. */
  inline: 1,
  bool: 2,
  byte: 3,
  double: 4,
  i16: 6,
  i32: 8,
  i64: 10,
  string: 11,
  struct: 12,
  map: 13,
  set: 14,
  list: 15,
  uuid: 16,
} as const;

/** What a TApplicationException says is wrong, of those that we send. */
export const exceptionTypes = { unknownMethod: 1, internalError: 6, protocolError: 7 } as const;

export const argumentFieldId = 1;
export const headersFieldId = 1;
export const bodyFieldId = 2;
export const successFieldId = 0;

/** No method of any service we speak has a name near this. */
export const nameBytesMax = 128;

/** How deep values may be nested that we only read past. */
export const nestingMax = 32;

/** Headers of one event; a larger map is refused. */
export const headersMax = 65_536;

/** Java's framed transport refuses a larger frame, so our requests stay under it. */
export const javaFrameBytesMax = 16_384_000;

export interface ProtocolChoice {
  /** Undefined when the value names none. */
  readonly protocol: ThriftProtocol | undefined;
  /** What an operator should know of the value. */
  readonly note: string | undefined;
}

/**
 * What a `protocol` property means. Flume accepts `binary` and `compact` in any case, and then takes
 * only `binary` itself for binary: `Binary` is compact. A pair of agents that is set so speaks
 * compact, and so do we; the note says it.
 */
export function readProtocol(value: string): ProtocolChoice {
  const lower = value.toLowerCase();
  if (lower !== "binary" && lower !== "compact") return { protocol: undefined, note: undefined };
  if (value === "binary" || lower === "compact") return { protocol: lower, note: undefined };
  const note =
    `protocol = ${value} is the compact protocol, as in Flume, which knows binary in lower case only; ` +
    "write compact, or write binary on both sides";
  return { protocol: "compact", note };
}
