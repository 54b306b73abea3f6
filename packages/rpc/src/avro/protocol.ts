/**
 * Flume's Avro protocol, as a description of our own. A Java peer is recognised by the hash of its
 * own text, which carries a comment and is not repeated here; whoever asks for text gets ours,
 * under the hash of ours.
 */
import { createHash } from "node:crypto";

const description = {
  protocol: "AvroSourceProtocol",
  namespace: "org.apache.flume.source.avro",
  types: [
    { type: "enum", name: "Status", symbols: ["OK", "FAILED", "UNKNOWN"] },
    {
      type: "record",
      name: "AvroFlumeEvent",
      fields: [
        { name: "headers", type: { type: "map", values: "string" } },
        { name: "body", type: "bytes" },
      ],
    },
  ],
  messages: {
    append: { request: [{ name: "event", type: "AvroFlumeEvent" }], response: "Status" },
    appendBatch: {
      request: [{ name: "events", type: { type: "array", items: "AvroFlumeEvent" } }],
      response: "Status",
    },
  },
};

/** What every Java Flume since 1.2.0 sends as its client and server hash. */
export const javaHash: Buffer = Buffer.from("86aadae2c45474c0fe93ffd0f2350a65", "hex");
export const protocolText: string = JSON.stringify(description);
/** Also the hash a Java peer gives the same protocol without its comment. */
export const protocolHash: Buffer = hashOf(protocolText);

/** A longer text is not looked at: Flume's own has 1.5 KiB. */
export const protocolTextBytesMax = 64 * 1024;

export function hashOf(text: string): Buffer {
  return createHash("md5").update(text).digest();
}

/** Whether a hash stands for a protocol whose events and statuses are ours. */
export function isKnownHash(hash: Uint8Array): boolean {
  return javaHash.equals(hash) || protocolHash.equals(hash);
}

/**
 * Why events of a peer with this protocol text cannot be read as ours, or undefined when they can:
 * its `append` and `appendBatch`, where it has them, carry AvroFlumeEvents of the same structure,
 * under whatever name. `role` "server" also asks for Flume's statuses in Flume's order. The text
 * is only looked at: no code is made from it.
 */
export function protocolProblem(text: string, role: "client" | "server"): string | undefined {
  let remote: unknown;
  try {
    remote = JSON.parse(text);
  } catch {
    return "its protocol text is not JSON";
  }
  const messages = field(remote, "messages");
  if (!isObject(messages)) return "its protocol has no messages";
  const named = namedTypes(remote);
  for (const name of ["append", "appendBatch"] as const) {
    if (!Object.hasOwn(messages, name)) {
      if (role === "server") return `its protocol has no message ${name}`;
      continue;
    }
    const message = field(messages, name);
    const request = field(message, "request");
    const only = Array.isArray(request) && request.length === 1 ? (request[0] as unknown) : {};
    let type = field(only, "type");
    if (name === "appendBatch") {
      const array = resolve(type, named);
      type = field(array, "type") === "array" ? field(array, "items") : undefined;
    }
    if (!isFlumeEvent(resolve(type, named), named)) {
      return `its ${name} does not take events of { headers: map of string, body: bytes }`;
    }
    if (role === "server" && !isStatus(resolve(field(message, "response"), named))) {
      return `its ${name} does not answer OK, FAILED or UNKNOWN`;
    }
  }
  return undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function field(value: unknown, name: string): unknown {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

/** Every named type of a protocol by its simple and its full name, wherever it is written. */
function namedTypes(protocol: unknown): Map<string, unknown> {
  const named = new Map<string, unknown>();
  const outer = field(protocol, "namespace");
  const open: unknown[] = [field(protocol, "types"), field(protocol, "messages")];
  while (open.length > 0) {
    const value = open.pop();
    if (Array.isArray(value)) for (const item of value as unknown[]) open.push(item);
    else if (isObject(value)) {
      const name = value["name"];
      const type = value["type"];
      if (typeof name === "string" && (type === "record" || type === "enum")) {
        const namespace = value["namespace"] ?? outer;
        named.set(name, value);
        if (typeof namespace === "string") named.set(`${namespace}.${name}`, value);
      }
      for (const inner of Object.values(value)) open.push(inner);
    }
  }
  return named;
}

/** A type as an object: `"bytes"` as `{ type: "bytes" }`, a name as what it names. */
function resolve(type: unknown, named: ReadonlyMap<string, unknown>): unknown {
  if (typeof type === "string") return named.get(type) ?? { type };
  return type;
}

function isFlumeEvent(type: unknown, named: ReadonlyMap<string, unknown>): boolean {
  const fields = field(type, "fields");
  if (field(type, "type") !== "record" || !Array.isArray(fields) || fields.length !== 2) {
    return false;
  }
  const [headers, body] = fields as [unknown, unknown];
  if (field(headers, "name") !== "headers" || field(body, "name") !== "body") return false;
  const map = resolve(field(headers, "type"), named);
  return (
    field(map, "type") === "map" &&
    field(resolve(field(map, "values"), named), "type") === "string" &&
    field(resolve(field(body, "type"), named), "type") === "bytes"
  );
}

function isStatus(type: unknown): boolean {
  const symbols = field(type, "symbols");
  return Array.isArray(symbols) && symbols.slice(0, 3).join() === "OK,FAILED,UNKNOWN";
}
