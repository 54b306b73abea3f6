import { MillraceError, systemErrorCode } from "@millrace/core";
import type { AddressInfo, Server, Socket } from "node:net";

/** How long the kernel lets a silent connection be before it asks whether the peer is there. */
export const keepAliveDelayMs = 60_000;

const backlog = 1024;

/**
 * Listens, and returns the port in use: the one asked for, or the one the system chose for 0.
 * Throws PORT_IN_USE, PERMISSION_DENIED, LISTEN_FAILED or START_ABORTED; then nothing listens.
 */
export async function listen(
  server: Server,
  host: string,
  port: number,
  aborted: AbortSignal,
): Promise<number> {
  if (aborted.aborted) throw startAborted(host, port);
  await new Promise<void>((resolve, reject) => {
    const settle = (finish: () => void) => (): void => {
      server.off("error", onError);
      server.off("listening", onListening);
      aborted.removeEventListener("abort", onAbort);
      finish();
    };
    const onListening = settle(resolve);
    const onError = (error: Error): void => settle(() => reject(listenError(error, host, port)))();
    const onAbort = settle(() => {
      server.close();
      reject(startAborted(host, port));
    });
    server.once("listening", onListening);
    server.once("error", onError);
    aborted.addEventListener("abort", onAbort, { once: true });
    server.listen({ host, port, backlog });
  });
  return (server.address() as AddressInfo).port;
}

/** What the system said about listening, as an error that names the property to correct. */
export function listenError(error: Error, host: string, port: number): MillraceError {
  const where = `cannot listen on ${host}:${port}`;
  const detail = { cause: error, context: { host, port } };
  const system = systemErrorCode(error);
  switch (system) {
    case "EADDRINUSE":
      return new MillraceError(
        "PORT_IN_USE",
        `${where}: another process listens there; choose another port, or stop it`,
        detail,
      );
    case "EACCES":
      return new MillraceError(
        "PERMISSION_DENIED",
        `${where}: this user may not use that port; choose a port above 1023, or give the user the right`,
        detail,
      );
    default:
      return new MillraceError(
        "LISTEN_FAILED",
        `${where}: ${system === "" ? error.message : system}; bind must be an address of this machine, or a name of one`,
        detail,
      );
  }
}

function startAborted(host: string, port: number): MillraceError {
  return new MillraceError("START_ABORTED", `starting to listen on ${host}:${port} was given up`);
}

/** The peer of a connection for logs: "10.0.0.7:51422". */
export function peerOf(socket: Socket): string {
  return `${socket.remoteAddress ?? "unknown"}:${socket.remotePort ?? 0}`;
}
