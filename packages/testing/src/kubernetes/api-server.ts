import type { Random } from "@millrace/core";
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { freePort } from "../processes/free-port.ts";
import type { TestAuthority } from "../tls/test-authority.ts";
import { type PodFields, podObject } from "./pod-object.ts";
import { PodStore } from "./pod-store.ts";

/** What the server does with requests from now on. */
export type ApiFault =
  | "none"
  /** Takes the request and never answers. */
  | "hang"
  /** Ends the connection instead of an answer. */
  | "cut"
  /** Answers what no API server answers. */
  | "garbage"
  /** Answers with this status, and Retry-After where it is given. */
  | { readonly status: number; readonly retryAfterSeconds?: number };

export interface ApiServerRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly token: string | undefined;
  readonly status: number;
}

/**
 * As much of a Kubernetes API server as a watcher of pods uses, over TLS on 127.0.0.1, in memory:
 * lists in pages, watches from a version with bookmarks, tokens, forbidden verbs, compaction, and
 * every way in which a connection goes bad.
 */
export interface KubernetesApiServer {
  /** "https://127.0.0.1:6443"; the same after `stop` and `listen`. */
  readonly url: string;
  readonly store: PodStore;
  readonly requests: readonly ApiServerRequest[];
  /** Watches that are open now. */
  readonly watching: number;
  /** Who is let in. */
  readonly tokens: Set<string>;
  /** Verbs that the role of every token lacks: "list", "watch". */
  readonly forbidden: Set<string>;
  fault: ApiFault;
  /** The same for watches only. */
  watchFault: ApiFault;
  /** Whether a version that was compacted away is answered as status 410 or as an ERROR event. */
  goneAs: "status" | "event";
  /** Whether a list from the cache comes in pages; API servers answer it whole. */
  pageCachedLists: boolean;
  /** Whether each page says that another one like it follows. */
  pagesRepeat: boolean;
  /** When given, what is sent comes in pieces of chance lengths. */
  pieces: Random | undefined;
  /** Makes or changes a pod, and tells the watches. */
  put(pod: PodFields): void;
  remove(name: string, namespace?: string): void;
  /** Forgets history: older versions, and pages begun, are gone. */
  compact(): void;
  /** Goes on from an earlier version with the pods of now, as after a restoration of etcd; watches end. */
  restore(version: number): void;
  /** Tells every watch the version of now. */
  bookmark(): void;
  /** Sends a line as it is to every watch. */
  sendToWatches(line: string): void;
  /** Ends all watches as a server does whose timeoutSeconds have passed. */
  endWatches(): void;
  /** Breaks the connections of all watches. */
  cutWatches(): void;
  /** Leaves all watches open and tells them nothing any more. */
  hangWatches(): void;
  stop(): Promise<void>;
  listen(): Promise<void>;
}

interface Watch {
  readonly node: string | undefined;
  readonly bookmarks: boolean;
  readonly response: ServerResponse;
  version: number;
  hanging: boolean;
}

interface Page {
  readonly items: readonly unknown[];
  readonly version: number;
}

export async function createKubernetesApiServer(
  authority: TestAuthority,
): Promise<KubernetesApiServer> {
  const { keyPem, chainPem } = authority.issue({ commonName: "kube-apiserver" });
  const store = new PodStore();
  const requests: ApiServerRequest[] = [];
  const watches = new Set<Watch>();
  const pages = new Map<string, Page>();
  let server: Server | undefined;
  const port = await freePort();

  function serve(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? "/", "https://kubernetes");
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
    const isWatch = url.searchParams.get("watch") === "true";
    const fault = isWatch && api.watchFault !== "none" ? api.watchFault : api.fault;
    const noted = (status: number): void => {
      requests.push({ path: url.pathname, query: url.searchParams, token, status });
    };
    const refuse = (code: number, reason: string, message: string, headers = {}): void => {
      noted(code);
      response.writeHead(code, { "content-type": "application/json", ...headers });
      write(response, statusText(code, reason, message), true);
    };
    if (fault === "hang") return noted(0);
    if (fault === "cut") {
      noted(0);
      return void request.socket.destroy();
    }
    if (fault === "garbage") {
      noted(200);
      return void write(response, `<html>\n{"kind":\n\u0000`, true);
    }
    if (typeof fault === "object") {
      const { status, retryAfterSeconds: seconds } = fault;
      const headers = seconds === undefined ? {} : { "retry-after": String(seconds) };
      return refuse(status, "InternalError", "the server is told to fail", headers);
    }
    if (token === undefined || !api.tokens.has(token)) {
      return refuse(401, "Unauthorized", "Unauthorized");
    }
    if (url.pathname !== "/api/v1/pods") return refuse(404, "NotFound", "not found");
    const verb = isWatch ? "watch" : "list";
    if (api.forbidden.has(verb)) {
      const who = `User "system:serviceaccount:millrace:edge"`;
      const message = `pods is forbidden: ${who} cannot ${verb} resource "pods" in API group "" at the cluster scope`;
      return refuse(403, "Forbidden", message);
    }
    const node = /^spec\.nodeName=(.+)$/.exec(url.searchParams.get("fieldSelector") ?? "")?.[1];
    if (verb === "list") return list(url.searchParams, node, response, noted, refuse);
    watch(url.searchParams, node, response, noted, refuse);
  }

  function list(
    query: URLSearchParams,
    node: string | undefined,
    response: ServerResponse,
    noted: (status: number) => void,
    refuse: (code: number, reason: string, message: string) => void,
  ): void {
    const asked = query.get("continue");
    const begun = asked === null ? { items: store.pods(node), version: store.version } : pages.get(asked); // prettier-ignore
    if (begun === undefined) {
      return refuse(410, "Expired", "The provided continue parameter is too old to display.");
    }
    const whole = query.get("resourceVersion") === "0" && !api.pageCachedLists;
    const limit = whole ? 0 : Number(query.get("limit") ?? 0);
    const items = limit === 0 ? begun.items : begun.items.slice(0, limit);
    const rest = begun.items.slice(items.length);
    const metadata: Record<string, unknown> = { resourceVersion: String(begun.version) };
    if (api.pagesRepeat) {
      pages.set("again", begun);
      Object.assign(metadata, { continue: "again" });
    } else if (rest.length > 0) {
      const next = `page-${pages.size}-${begun.version}`;
      pages.set(next, { items: rest, version: begun.version });
      Object.assign(metadata, { continue: next, remainingItemCount: rest.length });
    }
    noted(200);
    response.writeHead(200, { "content-type": "application/json" });
    write(response, JSON.stringify({ kind: "PodList", apiVersion: "v1", metadata, items }), true);
  }

  function watch(
    query: URLSearchParams,
    node: string | undefined,
    response: ServerResponse,
    noted: (status: number) => void,
    refuse: (code: number, reason: string, message: string) => void,
  ): void {
    const version = Number(query.get("resourceVersion") ?? 0);
    const gone = `too old resource version: ${version} (${store.compacted})`;
    const isGone = version < store.compacted;
    if (isGone && api.goneAs === "status") return refuse(410, "Expired", gone);
    noted(200);
    response.writeHead(200, { "content-type": "application/json" });
    if (isGone) {
      const error = `{"type":"ERROR","object":${statusText(410, "Expired", gone)}}\n`;
      return write(response, error, true);
    }
    response.flushHeaders();
    const bookmarks = query.get("allowWatchBookmarks") === "true";
    const made: Watch = { node, bookmarks, response, version, hanging: false };
    const seconds = Number(query.get("timeoutSeconds") ?? 0);
    const timer = setTimeout(() => endWatch(made), seconds > 0 ? seconds * 1000 : 2 ** 31 - 1);
    watches.add(made);
    response.once("close", () => {
      clearTimeout(timer);
      watches.delete(made);
    });
    tell(made);
  }

  function tell(watching: Watch): void {
    if (watching.hanging) return;
    const events = store.eventsAfter(watching.version, watching.node);
    // One that asked for a version to come hears nothing until then.
    watching.version = Math.max(watching.version, store.version);
    const lines = events.map((event) => `${JSON.stringify(event)}\n`).join("");
    if (lines !== "") write(watching.response, lines, false);
  }

  function endWatch(watching: Watch): void {
    watches.delete(watching);
    watching.response.end();
  }

  function tellAll(): void {
    for (const watching of watches) tell(watching);
  }

  function write(response: ServerResponse, text: string, end: boolean): void {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length;) {
      const length = api.pieces === undefined ? bytes.length : 1 + api.pieces.integer(200);
      response.write(bytes.subarray(at, at + length));
      at += length;
    }
    if (end) response.end();
  }

  const api: KubernetesApiServer = {
    store,
    requests,
    tokens: new Set(),
    forbidden: new Set(),
    fault: "none",
    watchFault: "none",
    goneAs: "status",
    pageCachedLists: false,
    pagesRepeat: false,
    pieces: undefined,
    get url() {
      return `https://127.0.0.1:${port}`;
    },
    get watching() {
      return watches.size;
    },
    put(pod) {
      store.put(podObject(pod));
      tellAll();
    },
    remove(name, namespace = "default") {
      store.remove(namespace, name);
      tellAll();
    },
    compact() {
      store.compact();
      pages.clear();
    },
    restore(version) {
      store.restore(version);
      pages.clear();
      api.cutWatches();
    },
    bookmark() {
      tellAll();
      const metadata = { resourceVersion: String(store.version), creationTimestamp: null };
      const object = { kind: "Pod", apiVersion: "v1", metadata, spec: { containers: null }, status: {} }; // prettier-ignore
      const line = `${JSON.stringify({ type: "BOOKMARK", object })}\n`;
      for (const { bookmarks, hanging, response, version } of watches) {
        if (bookmarks && !hanging && version <= store.version) write(response, line, false);
      }
    },
    sendToWatches(line) {
      for (const { response } of watches) write(response, line, false);
    },
    endWatches() {
      for (const watching of [...watches]) endWatch(watching);
    },
    cutWatches() {
      for (const watching of [...watches]) {
        watches.delete(watching);
        watching.response.destroy();
      }
    },
    hangWatches() {
      for (const watching of watches) watching.hanging = true;
    },
    async stop() {
      const stopping = server;
      server = undefined;
      if (stopping === undefined) return;
      const stopped = once(stopping, "close");
      stopping.close();
      stopping.closeAllConnections();
      await stopped;
    },
    async listen() {
      const made = createServer({ key: keyPem, cert: chainPem }, serve);
      made.on("tlsClientError", () => {});
      made.listen(port, "127.0.0.1");
      await once(made, "listening");
      server = made;
    },
  };
  await api.listen();
  return api;
}

function statusText(code: number, reason: string, message: string): string {
  const kind = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure" };
  return JSON.stringify({ ...kind, message, reason, code });
}
