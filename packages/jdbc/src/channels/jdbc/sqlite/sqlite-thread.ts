import { Worker } from "node:worker_threads";
import type { SqliteReply, SqliteRequest } from "./sqlite-messages.ts";

/** Where a file's requests are answered. */
export interface SqliteThread {
  post(request: SqliteRequest, transfer: ArrayBuffer[]): void;
  /** Whether the process is to live for it. */
  keepProcess(keep: boolean): void;
  /** Ends it at once; what is not committed is rolled back by the next opening. */
  end(): Promise<void>;
}

export interface SqliteThreadHooks {
  answered(reply: SqliteReply): void;
  /** It has ended by itself. */
  gone(reason: string): void;
}

export type StartThread = (hooks: SqliteThreadHooks) => SqliteThread;

/** A thread of its own: an fdatasync of 5 ms would be 5 ms in which the agent answers nobody. */
export const startWorker: StartThread = (hooks) => {
  // Of the process's own flags a thread takes few, and needs only what finds the packages. Node 22
  // warns at each load that its SQLite is experimental.
  const conditions = process.execArgv.filter((flag) => flag.startsWith("--conditions="));
  const execArgv = [...conditions, "--disable-warning=ExperimentalWarning"];
  const worker = new Worker(workerUrl(), { execArgv });
  let reason = "it ended";
  let isEnding = false;
  worker.unref();
  worker.on("message", (reply: SqliteReply) => hooks.answered(reply));
  worker.on("error", (error: Error) => {
    reason = error.message;
  });
  worker.on("exit", () => {
    if (!isEnding) hooks.gone(reason);
  });
  return {
    post: (request, transfer) => worker.postMessage(request, transfer),
    keepProcess: (keep) => (keep ? worker.ref() : worker.unref()),
    async end() {
      isEnding = true;
      await worker.terminate();
    },
  };
};

/** The built worker; or the source, for which the thread needs the loader that its parent has. */
function workerUrl(): URL {
  const own = import.meta.url;
  if (!own.endsWith(".ts")) return new URL("./sqlite-worker.js", own);
  const loader = JSON.stringify(import.meta.resolve("tsx/esm/api"));
  const source = JSON.stringify(new URL("./sqlite-worker.ts", own).href);
  const code = `import { register } from ${loader}; register(); await import(${source});`;
  return new URL(`data:text/javascript,${encodeURIComponent(code)}`);
}
