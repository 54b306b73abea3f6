import type { MillraceError } from "@millrace/core";
import { EventBatch, toMillraceError } from "@millrace/core";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createConnectionServer } from "../tcp/connection-server.ts";
import {
  defaultEventServerLimits,
  type EventHandler,
  type EventServer,
  type EventServerOptions,
} from "../wire/event-server.ts";
import { encodeOgDone, encodeOgError, joinBuffers, readOgCall } from "./avro-og-call.ts";
import { HttpConnection, type HttpShared } from "./http-connection.ts";
import { ogHeaders } from "./og-event.ts";
import { readBody } from "./read-body.ts";

const contentType = "avro/binary";

/**
 * Takes events as Flume 0.9 sent them over Avro: one a POST, to any path. A sender is told success
 * when the handler says OK; anything else is answered with an Avro error, which makes it send again.
 * Flume's own source answers success even then.
 */
export function createAvroLegacyServer(options: EventServerOptions): EventServer {
  const { handler, observer = {}, clock, log } = options;
  const limits = { ...defaultEventServerLimits, ...options.limits };

  function countMalformed(error: MillraceError, peer: string): void {
    observer.requestMalformed?.(error, peer);
    log.warn(`a client sent what cannot be read: ${error.message}`, { code: error.code, peer });
  }

  async function answer(
    request: IncomingMessage,
    response: ServerResponse,
    peer: string,
  ): Promise<void> {
    const refusal = refuse(request);
    if (refusal !== undefined) {
      end(response, refusal.status, refusal.text);
      return;
    }
    try {
      const body = await readBody(request, limits.maxFrameBytes);
      const bytes = await answerTo(joinBuffers(body), peer, handler);
      response.writeHead(200, { "content-type": contentType, "content-length": bytes.length });
      response.end(bytes);
    } catch (thrown) {
      const error = toMillraceError(thrown);
      if (error.code === "RPC_CONNECTION_LOST") return;
      countMalformed(error, peer);
      end(
        response,
        error.code === "FRAME_TOO_LARGE" ? 413 : 400,
        `${error.code}: ${error.message}`,
      );
    }
  }

  async function answerTo(bytes: Buffer, peer: string, handle: EventHandler): Promise<Buffer> {
    let handshake: Buffer | undefined;
    try {
      const call = readOgCall(bytes);
      if (call.kind === "greeting") return call.reply;
      handshake = call.handshake;
      const { event } = call;
      const batch = EventBatch.fromEvents([{ headers: ogHeaders(event), body: event.body }]);
      const status = await handle(batch, { message: "append", peer });
      return status === "OK"
        ? encodeOgDone(handshake)
        : encodeOgError(handshake, "the event was not stored; send it again");
    } catch (thrown) {
      const error = toMillraceError(thrown);
      if (error.code === "FRAME_MALFORMED") throw error;
      if (error.code === "CALL_MALFORMED") countMalformed(error, peer);
      else log.error(`append of ${peer} failed: ${error.message}`, { error });
      return encodeOgError(handshake, `${error.code}: ${error.message}`);
    }
  }

  const http = createServer({ keepAliveTimeout: 0 });
  const shared: HttpShared = {
    http,
    limits,
    clock,
    log,
    malformed: countMalformed,
    answer,
  };
  return createConnectionServer({
    ...options,
    serve: (stream, peer) => new HttpConnection(stream, peer, shared),
  });
}

function refuse({
  method,
  headers,
}: IncomingMessage): { readonly status: number; readonly text: string } | undefined {
  if (method !== "POST")
    return { status: 405, text: "this is a source of Flume 0.9 over Avro: POST" };
  if (headers["content-type"] === contentType) return undefined;
  return { status: 415, text: `this is a source of Flume 0.9 over Avro: ${contentType}` };
}

/** Ends with a text, and the connection with it: what else the client has to say is not read. */
function end(response: ServerResponse, status: number, text: string): void {
  const body = Buffer.from(text);
  response.writeHead(status, {
    "content-type": "text/plain; charset=utf-8",
    "content-length": body.length,
    connection: "close",
  });
  response.end(body);
}
