/**
 * The handshake, once per connection, in front of the first request and of its reply:
 *
 *   request  = clientHash{16} clientProtocol serverHash{16} meta
 *   response = match serverProtocol serverHash meta
 *   match    = 00 BOTH | 02 CLIENT | 04 NONE
 *   protocol = 00 | 02 string            null or the text
 *   hash     = 00 | 02 byte{16}          null or the hash (in the response)
 *   meta     = 00 | 02 map               null or a map, which Java's client sends empty
 *
 * BOTH: each knows the other. CLIENT: the server knows the client, and here is its own text; the
 * result of the call follows all the same. NONE: the server does not know the client and did
 * nothing; the client sends the whole request again on this connection, with its text.
 */
import { type Cursor, eachHeader, MillraceError, readLong } from "@millrace/core";
import avsc from "avsc";
import {
  hashOf,
  isKnownHash,
  javaHash,
  protocolHash,
  protocolProblem,
  protocolText,
  protocolTextBytesMax,
} from "./protocol.ts";

interface HandshakeRequest {
  readonly clientHash: Buffer;
  readonly clientProtocol: string | null;
  readonly serverHash: Buffer;
}

export interface HandshakeResponse {
  readonly match: "BOTH" | "CLIENT" | "NONE";
  readonly serverProtocol: string | null;
  readonly serverHash: Buffer | null;
}

const md5 = { type: "fixed", name: "MD5", size: 16 } as const;
const meta = { name: "meta", type: ["null", { type: "map", values: "bytes" }] } as const;

const requestType = avsc.Type.forSchema({
  type: "record",
  name: "HandshakeRequest",
  fields: [
    { name: "clientHash", type: md5 },
    { name: "clientProtocol", type: ["null", "string"] },
    { name: "serverHash", type: "MD5" },
    meta,
  ],
} as unknown as avsc.Schema);

const responseType = avsc.Type.forSchema({
  type: "record",
  name: "HandshakeResponse",
  fields: [
    {
      name: "match",
      type: { type: "enum", name: "HandshakeMatch", symbols: ["BOTH", "CLIENT", "NONE"] },
    },
    { name: "serverProtocol", type: ["null", "string"] },
    { name: "serverHash", type: ["null", md5] },
    meta,
  ],
} as unknown as avsc.Schema);

/** A server's answer when both know each other: all of the reply to a Java peer. */
export const handshakeBoth: Buffer = encodeResponse("BOTH", false);

/** What a client says first: Java's hash for both, as a Java client does, and no text. */
export const firstHandshake: Buffer = encodeRequest(javaHash, null, javaHash);

/** What a client says after NONE: our text under its own hash, and the hash the server gave. */
export function handshakeWithText(serverHash: Buffer | null): Buffer {
  return encodeRequest(protocolHash, protocolText, serverHash ?? javaHash);
}

function encodeRequest(
  clientHash: Buffer,
  clientProtocol: string | null,
  serverHash: Buffer,
): Buffer {
  return requestType.toBuffer({ clientHash, clientProtocol, serverHash, meta: {} });
}

function encodeResponse(match: HandshakeResponse["match"], withText: boolean): Buffer {
  return responseType.toBuffer({
    match,
    serverProtocol: withText ? protocolText : null,
    serverHash: withText ? protocolHash : null,
    meta: null,
  });
}

/** Reads a handshake request; the cursor is behind it then. Throws FRAME_MALFORMED. */
export function decodeHandshakeRequest(bytes: Buffer, cursor: Cursor): HandshakeRequest {
  const start = cursor.at;
  return checked("handshake", () => {
    skip(bytes, cursor, 16);
    skipText(bytes, cursor);
    skip(bytes, cursor, 16);
    skipMeta(bytes, cursor);
    return requestType.fromBuffer(bytes.subarray(start, cursor.at)) as HandshakeRequest;
  });
}

/** Reads a handshake response; the cursor is behind it then. Throws FRAME_MALFORMED. */
export function decodeHandshakeResponse(bytes: Buffer, cursor: Cursor): HandshakeResponse {
  const start = cursor.at;
  return checked("handshake response", () => {
    readLong(bytes, cursor, bytes.length);
    skipText(bytes, cursor);
    if (readUnion(bytes, cursor) === 1) skip(bytes, cursor, 16);
    skipMeta(bytes, cursor);
    return responseType.fromBuffer(bytes.subarray(start, cursor.at)) as HandshakeResponse;
  });
}

// avsc loops as often as a count says, whatever is there: where each part ends is found by our own
// bounded reading, and avsc is given only bytes that were walked.

function checked<T>(what: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new MillraceError("FRAME_MALFORMED", `the ${what} cannot be read: ${why}`, {
      cause: error,
    });
  }
}

function skip(bytes: Buffer, cursor: Cursor, count: number): void {
  if (count < 0 || count > bytes.length - cursor.at) {
    throw new MillraceError("FRAME_MALFORMED", `${count} bytes are not there`);
  }
  cursor.at += count;
}

function readUnion(bytes: Buffer, cursor: Cursor): number {
  const index = readLong(bytes, cursor, bytes.length);
  if (index !== 0 && index !== 1) throw new MillraceError("FRAME_MALFORMED", `union ${index}`);
  return index;
}

function skipText(bytes: Buffer, cursor: Cursor): void {
  if (readUnion(bytes, cursor) === 0) return;
  const length = readLong(bytes, cursor, bytes.length);
  if (length > protocolTextBytesMax) {
    throw new MillraceError("FRAME_MALFORMED", `a protocol text of ${length} bytes`);
  }
  skip(bytes, cursor, length);
}

function skipMeta(bytes: Buffer, cursor: Cursor): void {
  if (readUnion(bytes, cursor) === 1) skipMap(bytes, cursor);
}

/** Moves over a map of strings to bytes or strings, which look alike; bounded by what is there. */
export function skipMap(bytes: Buffer, cursor: Cursor): void {
  eachHeader(bytes, cursor, bytes.length, () => {});
}

/** What a server decided about one client. */
export interface Handshake {
  readonly response: Buffer;
  /** False after NONE: the next request carries a handshake again, and this one no result. */
  readonly connected: boolean;
  /** Why this client's events cannot be read; every call is answered with it. */
  readonly problem: string | undefined;
}

const knownClientsMax = 64;

/**
 * The server's side of all handshakes. A client is known by Java's hash, by ours, or by text: a
 * text is remembered under its hash, the newest few, for the client's next connection.
 */
export class ClientRegistry {
  readonly #problems = new Map<string, string | undefined>();

  greet(request: HandshakeRequest): Handshake {
    const { clientHash, clientProtocol, serverHash } = request;
    const hash = clientHash.toString("hex");
    let problem: string | undefined;
    if (!isKnownHash(clientHash)) {
      if (clientProtocol !== null) problem = this.#learn(hash, clientProtocol);
      else if (this.#problems.has(hash)) problem = this.#problems.get(hash);
      else return { response: encodeResponse("NONE", true), connected: false, problem: undefined };
    }
    const response = isKnownHash(serverHash) ? handshakeBoth : encodeResponse("CLIENT", true);
    return { response, connected: true, problem };
  }

  #learn(hash: string, text: string): string | undefined {
    const problem = protocolProblem(text, "client");
    // A text under a foreign hash holds for its own connection only.
    if (hashOf(text).toString("hex") === hash) {
      this.#problems.delete(hash);
      this.#problems.set(hash, problem);
      if (this.#problems.size > knownClientsMax) {
        this.#problems.delete(this.#problems.keys().next().value as string);
      }
    }
    return problem;
  }
}
