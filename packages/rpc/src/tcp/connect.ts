import { MillraceError, nodeFileSystem, toMillraceError } from "@millrace/core";
import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { EventClientOptions } from "../wire/event-client.ts";
import { secureClientStream, tlsFailed } from "./client-tls.ts";
import { createDeflateStream } from "./deflate-stream.ts";
import { keepAliveDelayMs } from "./listen.ts";
import { clientContextOf } from "./secure-context.ts";
import { plainClient } from "./security.ts";
import { plainReason } from "./tls-failure.ts";

export type ConnectOptions = Pick<
  EventClientOptions,
  "host" | "port" | "connectTimeoutMs" | "transport" | "files" | "clock" | "log"
> & {
  /** Gives up when it aborts; its reason is thrown. */
  readonly giveUp: AbortSignal;
};

/** How long one of several addresses of a host is tried before the next. */
const addressTimeoutMs = 1000;

/**
 * Connects, and puts the transport's layers between. All of it together has `connectTimeoutMs`.
 * Throws RPC_CONNECT_FAILED, RPC_TLS_FAILED or the reason of `giveUp`; then nothing is open. The
 * stream's errors after that are the caller's to listen to.
 *
 *     outermost deflate:  wire -> TLS -> zlib -> TCP     (Flume since 1.10)
 *     outermost tls:      wire -> zlib -> TLS -> TCP     (Flume up to 1.9)
 */
export async function connectStream(options: ConnectOptions): Promise<Duplex> {
  const { host, port, clock, connectTimeoutMs, giveUp } = options;
  const where = `${host}:${port}`;
  if (giveUp.aborted) throw toMillraceError(giveUp.reason);
  const raw = connect({
    host,
    port,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: keepAliveDelayMs,
    autoSelectFamilyAttemptTimeout: addressTimeoutMs,
  });
  raw.on("error", () => {});
  let connected = false;
  raw.once("connect", () => {
    connected = true;
  });
  let fail: (error: MillraceError) => void = () => {};
  const failed = new Promise<never>((_, reject) => {
    fail = reject;
  });
  const timer = clock.setTimer(connectTimeoutMs, () => {
    const late = `no answer within ${connectTimeoutMs} ms`;
    fail(connected ? tlsFailed(where, tlsLate(late)) : connectFailed(where, late));
  });
  const onGiveUp = (): void => fail(toMillraceError(giveUp.reason));
  giveUp.addEventListener("abort", onGiveUp, { once: true });
  const layered = established(raw, where).then(() => addLayers(raw, where, options));
  try {
    return await Promise.race([layered, failed]);
  } catch (thrown) {
    raw.destroy();
    layered.catch(() => {});
    throw toMillraceError(thrown, "RPC_CONNECT_FAILED", `no connection to ${where}`);
  } finally {
    timer.cancel();
    giveUp.removeEventListener("abort", onGiveUp);
  }
}

function established(raw: Socket, where: string): Promise<void> {
  return new Promise((resolve, reject) => {
    raw.once("connect", resolve);
    raw.once("error", (error) => reject(connectFailed(where, plainReason(error), error)));
    raw.once("close", () => reject(connectFailed(where, "closed by the peer")));
  });
}

async function addLayers(
  raw: Socket,
  where: string,
  { host, transport = plainClient, clock, log, files = nodeFileSystem }: ConnectOptions,
): Promise<Duplex> {
  const { tls, compression, compressionLevel, outermost } = transport;
  const deflate = (below: Duplex): Duplex =>
    compression === "deflate" ? createDeflateStream(below, compressionLevel) : below;
  if (tls === undefined) return quiet(deflate(raw));
  const context = await clientContextOf(tls, { files, clock, log }).catch((thrown: unknown) => {
    // The file may be put right while the sink tries on: not an end of the agent.
    throw tlsFailed(where, (thrown as Error).message, thrown);
  });
  const secure = (below: Duplex) => secureClientStream(below, host, where, tls, context);
  return quiet(outermost === "tls" ? deflate(await secure(raw)) : await secure(deflate(raw)));
}

/** An error before the caller listens is no uncaught one: the stream is destroyed, which is seen. */
function quiet(stream: Duplex): Duplex {
  return stream.on("error", () => {});
}

function tlsLate(late: string): string {
  return `${late}: it may have ssl = false, another compression-type, or the other tlsLayering`;
}

function connectFailed(where: string, why: string, cause?: Error): MillraceError {
  return new MillraceError("RPC_CONNECT_FAILED", `no connection to ${where}: ${why}`, { cause });
}
