import type { IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Clock } from "@millrace/core";
import { type Status, statusCode } from "./protocol.ts";

const contentType = "application/grpc";

/** Opens a response whose status comes as trailers. */
export const responseHeaders: OutgoingHttpHeaders = {
  ":status": 200,
  "content-type": contentType,
  "grpc-accept-encoding": "identity",
};

/** How long a client that was told the end may take to stop sending. */
const lingerMs = 1000;
/** Text goes percent-encoded: printable ASCII but the percent sign as it is, the rest as bytes of UTF-8. */
const messageBytesMax = 1000;

function trailersOf({ code, message }: Status): OutgoingHttpHeaders {
  const trailers: OutgoingHttpHeaders = { "grpc-status": String(code) };
  if (message !== "") trailers["grpc-message"] = encodeText(message.slice(0, messageBytesMax));
  return trailers;
}

function encodeText(text: string): string {
  let encoded = "";
  for (const byte of Buffer.from(text)) {
    encoded +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

/** Ends a call whose response was opened, with its status behind what was written. */
export function endCall(stream: ServerHttp2Stream, status: Status, clock: Clock): void {
  stream.once("wantTrailers", () => {
    stream.sendTrailers(trailersOf(status));
    closeSoon(stream, clock);
  });
  stream.resume();
  stream.end();
}

/** Answers a call with headers and nothing else. */
export function refuse(
  stream: ServerHttp2Stream,
  headers: OutgoingHttpHeaders,
  clock: Clock,
): void {
  stream.respond(headers, { endStream: true });
  closeSoon(stream, clock);
}

/** Answers a call with a status and nothing else. */
export function refuseCall(stream: ServerHttp2Stream, status: Status, clock: Clock): void {
  refuse(stream, { ...responseHeaders, ...trailersOf(status) }, clock);
}

/**
 * What the client still sends is read and dropped until it has seen the end. Closed at once, the
 * reset would overtake the headers on some versions of Node.
 */
function closeSoon(stream: ServerHttp2Stream, clock: Clock): void {
  const timer = clock.setTimer(lingerMs, () => stream.close());
  stream.once("close", () => timer.cancel());
  stream.resume();
}

/** What is wrong with a call before its first message; undefined when nothing is. */
export function callProblem(headers: IncomingHttpHeaders): Status | undefined {
  const encoding = headers["grpc-encoding"];
  if (encoding !== undefined && encoding !== "identity") {
    return {
      code: statusCode.UNIMPLEMENTED,
      message: `messages are compressed with ${String(encoding)}; only identity is understood`,
    };
  }
  return undefined;
}

export function isGrpc(headers: IncomingHttpHeaders): boolean {
  return (
    headers[":method"] === "POST" && String(headers["content-type"] ?? "").startsWith(contentType)
  );
}
