import { type Clock, MillraceError, systemErrorCode } from "@millrace/core";
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Credentials } from "./api-access.ts";

export interface ApiRequest {
  readonly url: URL;
  readonly credentials: Credentials;
  /** The longest silence: before the answer, and between two chunks of it. */
  readonly quietMs: number;
  /** The longest it may take as a whole. */
  readonly limitMs: number;
  readonly clock: Clock;
  readonly giveUp: AbortSignal;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** To be read to its end, or left: both close the connection. Throws KUBERNETES_UNAVAILABLE. */
  readonly chunks: AsyncGenerator<Buffer, void>;
}

/**
 * Sends one GET over a connection of its own, which does not keep the process alive. Resolves with
 * the answer's head. Throws KUBERNETES_UNAVAILABLE when there is none: no connection, no trust, or
 * silence; also when given up.
 */
export function sendRequest(request: ApiRequest): Promise<ApiAnswer> {
  const { url, credentials, giveUp } = request;
  const { token, ca } = credentials;
  const headers = {
    accept: "application/json",
    "user-agent": "millrace",
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
  const secure = url.protocol === "https:";
  const options = { headers, agent: false, ...(secure && ca !== undefined ? { ca } : {}) };
  return new Promise((resolve, reject) => {
    let answer: IncomingMessage | undefined;
    const message = (secure ? httpsRequest : httpRequest)(url, options);
    const end = (why: string): void => void (answer ?? message).destroy(new Error(why));
    const watchdog = createWatchdog(request, end);
    const aborted = (): void => end("given up");
    const settled = (): void => {
      watchdog.stop();
      giveUp.removeEventListener("abort", aborted);
    };
    giveUp.addEventListener("abort", aborted, { once: true });
    message.on("socket", (socket) => {
      socket.unref();
      socket.setKeepAlive(true, 30_000);
    });
    message.on("error", (error) => {
      settled();
      reject(unavailable(url, error));
    });
    message.on("response", (response) => {
      answer = response;
      watchdog.heard();
      const chunks = readChunks(url, response, watchdog.heard, settled);
      resolve({ status: response.statusCode ?? 0, headers: response.headers, chunks });
    });
    message.on("close", settled);
    if (giveUp.aborted) aborted();
    else message.end();
  });
}

async function* readChunks(
  url: URL,
  response: IncomingMessage,
  heard: () => void,
  settled: () => void,
): AsyncGenerator<Buffer, void> {
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      heard();
      yield chunk;
    }
  } catch (error) {
    throw unavailable(url, error);
  } finally {
    settled();
    response.destroy();
  }
}

/** Ends the request when nothing was heard for too long, or when it has taken too long. */
function createWatchdog(
  { clock, quietMs, limitMs }: ApiRequest,
  end: (why: string) => void,
): { heard: () => void; stop: () => void } {
  const limitAtMs = clock.monotonic() + limitMs;
  let quietAtMs = clock.monotonic() + quietMs;
  const look = (): void => {
    const nowMs = clock.monotonic();
    if (nowMs >= limitAtMs) end(`not finished within ${limitMs / 1000} s`);
    else if (nowMs >= quietAtMs) end(`nothing heard for ${quietMs / 1000} s`);
    else timer = clock.setTimer(Math.min(limitAtMs, quietAtMs) - nowMs, look);
  };
  let timer = clock.setTimer(Math.min(quietMs, limitMs), look);
  return {
    heard: () => void (quietAtMs = clock.monotonic() + quietMs),
    stop: () => timer.cancel(),
  };
}

function unavailable(url: URL, error: unknown): MillraceError {
  if (error instanceof MillraceError) return error;
  const code = systemErrorCode(error);
  const text = (error as Error).message;
  const why = code === "" || text.includes(code) ? text : `${code} ${text}`;
  return new MillraceError("KUBERNETES_UNAVAILABLE", `the API server at ${url.origin}: ${why}`, {
    cause: error,
  });
}
