import { type FileSystem, type Log, MillraceError, systemErrorCode } from "@millrace/core";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";
import type { AgentStatus } from "./agent-status.ts";

export interface AdminServerOptions {
  readonly path: string;
  readonly files: FileSystem;
  readonly log: Log;
  readonly status: () => AgentStatus;
  /** Reads the configuration again, as SIGHUP does; whether the agent runs what was read. */
  readonly reload: () => Promise<boolean>;
}

/**
 * Answers, on a Unix socket that only its own user may use, what is not harmless:
 *
 *     GET  /status   AgentStatus as JSON
 *     POST /reload   reads the configuration again; then AgentStatus, with 409 when it was refused
 */
export interface AdminServer {
  /** Throws LISTEN_FAILED, or PORT_IN_USE when another agent answers at the path. */
  start(): Promise<void>;
  /** Takes the socket away. */
  stop(): Promise<void>;
}

/** Linux's limit, its ending zero left out. */
const pathBytesMax = 107;

export function createAdminServer(options: AdminServerOptions): AdminServer {
  const { files, path } = options;
  let server: Server | undefined;

  return {
    async start() {
      if (Buffer.byteLength(path) > pathBytesMax) {
        const text = `socket ${path}: a path may have ${pathBytesMax} bytes; choose a shorter one`;
        throw new MillraceError("LISTEN_FAILED", text);
      }
      // Of a missing directory the system would say that it may not be written to.
      await files.stat(dirname(path)).catch((error: unknown) => {
        throw failed(path, error);
      });
      await takeStaleAway(options);
      const made = createServer((request, response) => void answer(options, request, response));
      made.headersTimeout = 10_000;
      await listen(made, path);
      server = made;
    },
    async stop() {
      const listening = server;
      server = undefined;
      if (listening === undefined) return;
      await new Promise<void>((resolve) => {
        listening.close(() => resolve());
        listening.closeAllConnections();
      });
    },
  };
}

/** What an agent that was killed left. Nothing but a socket is ever taken away. */
async function takeStaleAway({ files, path }: AdminServerOptions): Promise<void> {
  const there = await files.stat(path).catch((error: unknown) => {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw failed(path, error);
  });
  if (there === undefined) return;
  if (there.isFile || there.isDirectory) {
    throw new MillraceError("LISTEN_FAILED", `socket ${path}: there is a file that is no socket`);
  }
  if (await answers(path)) {
    throw new MillraceError("PORT_IN_USE", `socket ${path}: another agent answers there`);
  }
  await files.unlink(path).catch((error: unknown) => {
    throw failed(path, error);
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const end = (isThere: boolean): void => {
      socket.destroy();
      resolve(isThere);
    };
    socket.once("connect", () => end(true));
    // Any other error is no proof: one that is busy (EAGAIN) or another user's (EACCES) lives.
    socket.once("error", (error) =>
      end(!["ECONNREFUSED", "ENOENT"].includes(systemErrorCode(error))),
    );
  });
}

/** The socket is made when `listen` is called: nobody else may use it, not even for a moment. */
function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => reject(failed(path, cause)));
    const before = process.umask(0o177);
    try {
      server.listen(path, resolve);
    } finally {
      process.umask(before);
    }
  });
}

function failed(path: string, cause: unknown): MillraceError {
  const missing = systemErrorCode(cause) === "ENOENT";
  const why = missing ? "its directory does not exist" : (cause as Error).message;
  return new MillraceError("LISTEN_FAILED", `socket ${path}: ${why}`, { cause });
}

async function answer(
  { log, reload, status }: AdminServerOptions,
  { method, url = "/" }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const reply = (code: number, body: object): void => {
    response.writeHead(code, { "content-type": "application/json;charset=utf-8" });
    response.end(`${JSON.stringify(body)}\n`);
  };
  response.on("error", () => {});
  try {
    const asked = `${method} ${url.replace(/\?.*/, "")}`;
    if (asked === "GET /status") reply(200, status());
    else if (asked === "POST /reload") reply((await reload()) ? 200 : 409, status());
    else reply(404, { error: `${asked} is not known: GET /status, POST /reload` });
  } catch (error) {
    log.error("a request at the admin socket failed", { error });
    if (!response.headersSent) reply(500, { error: "failed; the agent's log says why" });
  }
}
