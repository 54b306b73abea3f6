/**
 * The Avro protocol of Flume 0.9, as a description of our own: `append(evt) -> null`, two-way. A Java
 * peer is recognised by the hash of its own text, which carries a comment and is not repeated here.
 */
import { createHash } from "node:crypto";
import { ogPriorities } from "./og-event.ts";

const eventFields = [
  { name: "timestamp", type: "long" },
  { name: "priority", type: { type: "enum", name: "Priority", symbols: ogPriorities } },
  { name: "body", type: "bytes" },
  { name: "nanos", type: "long" },
  { name: "host", type: "string" },
  { name: "fields", type: { type: "map", values: "bytes" } },
];

const description = {
  protocol: "FlumeOGEventAvroServer",
  namespace: "com.cloudera.flume.handlers.avro",
  types: [{ type: "record", name: "AvroFlumeOGEvent", fields: eventFields }],
  messages: {
    append: { request: [{ name: "evt", type: "AvroFlumeOGEvent" }], response: "null" },
  },
};

/** What a Flume 0.9 agent sends as its hash. */
export const ogJavaHash: Buffer = Buffer.from("84f26a5a74af5726d8bc68105669c996", "hex");
export const ogProtocolText: string = JSON.stringify(description);
export const ogProtocolHash: Buffer = createHash("md5").update(ogProtocolText).digest();

/**
 * Why events of a client with this protocol text cannot be read, or undefined when they can: its
 * event must have the same fields of the same types in the same order, under whatever names.
 */
export function ogProtocolProblem(text: string): string | undefined {
  let remote: unknown;
  try {
    remote = JSON.parse(text);
  } catch {
    return "its protocol text is not JSON";
  }
  const request = at(remote, "messages", "append", "request");
  const parameter: unknown = Array.isArray(request) && request.length === 1 ? request[0] : {};
  const record = resolve(at(parameter, "type"), at(remote, "types"));
  const fields = at(record, "fields");
  const same =
    Array.isArray(fields) &&
    fields.length === eventFields.length &&
    eventFields.every(({ name, type }, i) => {
      const field: unknown = fields[i];
      return (
        at(field, "name") === name && isType(resolve(at(field, "type"), at(remote, "types")), type)
      );
    });
  return same ? undefined : "its append does not take events of Flume 0.9";
}

function isType(given: unknown, wanted: unknown): boolean {
  if (typeof wanted === "string") return given === wanted || at(given, "type") === wanted;
  const kind = at(wanted, "type");
  if (at(given, "type") !== kind) return false;
  if (kind === "map") return isType(at(given, "values"), at(wanted, "values"));
  const symbols = at(given, "symbols");
  return Array.isArray(symbols) && symbols.join() === ogPriorities.join();
}

/** A type by its name among those of the protocol; anything else as it is. */
function resolve(type: unknown, named: unknown): unknown {
  if (typeof type !== "string" || !Array.isArray(named)) return type;
  const simple = type.split(".").at(-1);
  return (named as unknown[]).find((candidate) => at(candidate, "name") === simple) ?? type;
}

/** What lies in an object along own keys; undefined where there is none. */
function at(value: unknown, ...path: readonly string[]): unknown {
  let found = value;
  for (const key of path) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, key)) return undefined;
    found = (found as Record<string, unknown>)[key];
  }
  return found;
}
