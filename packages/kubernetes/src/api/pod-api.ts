import { type Log, MillraceError, type Runtime } from "@millrace/core";
import { ApiAccess, type ApiAccessSettings } from "./api-access.ts";
import { type ApiAnswer, sendRequest } from "./api-request.ts";
import { readStatus, statusError } from "./api-status.ts";
import { arrayOf, fieldOf, textOf } from "./json-fields.ts";
import { JsonLines, lineTooLong } from "./json-lines.ts";
import { type ListedPod, parsePod, resourceVersionOf } from "./parse-pod.ts";

export interface PodApiSettings extends ApiAccessSettings {
  readonly nodeName: string;
}

export interface PodApiLimits {
  /** The longest silence while an answer is awaited or read. */
  readonly answerMs: number;
  /** A list, with all that is in it. */
  readonly listMs: number;
  readonly pageBytesMax: number;
  /** Of one node, in all pages: more than can be, as a cluster keeps 12,500 finished ones. */
  readonly podsMax: number;
  /** How many pods are asked for at once. */
  readonly pagePods: number;
  /** How long the API server is asked to keep a watch open. */
  readonly watchSeconds: number;
  /** A watch that says nothing for so long is taken for dead: bookmarks come about every minute. */
  readonly watchQuietMs: number;
  /** One event of a watch; etcd keeps no object over 1.5 MiB, which JSON makes longer. */
  readonly eventBytesMax: number;
}

export const podApiLimits: PodApiLimits = {
  answerMs: 30_000,
  listMs: 120_000,
  pageBytesMax: 64 * 1024 * 1024,
  podsMax: 50_000,
  pagePods: 250,
  watchSeconds: 300,
  watchQuietMs: 150_000,
  eventBytesMax: 8 * 1024 * 1024,
};

export interface PodList {
  readonly pods: readonly ListedPod[];
  readonly resourceVersion: string;
}

/** What a watch tells. A bookmark has no pod: only the version moved on. */
export interface PodChange {
  readonly resourceVersion: string;
  readonly pod?: ListedPod;
  readonly deleted: boolean;
}

type Asked = {
  readonly verb: "list" | "watch";
  readonly quietMs: number;
  readonly limitMs: number;
};

/**
 * The pods of one node at the API server: GET requests over connections of their own. Everything
 * throws KUBERNETES_UNAVAILABLE or KUBERNETES_REFUSED; the caller asks again later.
 */
export class PodApi {
  readonly #settings: PodApiSettings;
  readonly #limits: PodApiLimits;
  readonly #access: ApiAccess;
  readonly #runtime: Runtime;
  readonly #log: Log;

  constructor(settings: PodApiSettings, limits: PodApiLimits, runtime: Runtime, log: Log) {
    this.#settings = settings;
    this.#limits = limits;
    this.#runtime = runtime;
    this.#log = log;
    this.#access = new ApiAccess(settings, runtime);
  }

  /**
   * All pods of the node, page by page. With `cached` the answer may come from the API server's
   * cache and be somewhat old, as its version says: that is cheap where every node asks at once.
   */
  async list(cached: boolean, giveUp: AbortSignal): Promise<PodList> {
    const { answerMs, listMs, pagePods, podsMax } = this.#limits;
    const pods: ListedPod[] = [];
    for (let page = ""; ;) {
      const query = { limit: String(pagePods) };
      const which = page !== "" ? { continue: page } : cached ? { resourceVersion: "0" } : {};
      const asked = { verb: "list", quietMs: answerMs, limitMs: listMs } as const;
      const answer = await this.#ask({ ...query, ...which }, asked, giveUp);
      const list = this.#parse(await this.#readBody(answer));
      if (textOf(list, "kind") !== "PodList") throw this.#invalid("a list that is no PodList");
      for (const item of arrayOf(list, "items")) {
        const pod = parsePod(item);
        if (pod !== undefined) pods.push(pod);
      }
      if (pods.length > podsMax) throw this.#invalid(`a list of over ${podsMax} pods`);
      const next = textOf(fieldOf(list, "metadata"), "continue");
      if (next === "") return { pods, resourceVersion: resourceVersionOf(list) };
      if (next === page) throw this.#invalid("a page that is followed by itself");
      page = next;
    }
  }

  /**
   * Resolves when the API server has let it begin. What comes then is what changes after the version,
   * in order; it ends when the API server ends the watch, and throws when the connection breaks or
   * is silent. A version that is too old (`isExpired`) is told in either way.
   */
  async watch(
    resourceVersion: string,
    giveUp: AbortSignal,
  ): Promise<AsyncGenerator<PodChange, void>> {
    const { watchSeconds, watchQuietMs } = this.#limits;
    const query = {
      watch: "true",
      allowWatchBookmarks: "true",
      timeoutSeconds: String(watchSeconds),
      resourceVersion,
    };
    const limitMs = watchSeconds * 1000 + watchQuietMs;
    const asked = { verb: "watch", quietMs: watchQuietMs, limitMs } as const;
    return this.#readEvents(await this.#ask(query, asked, giveUp));
  }

  async *#readEvents({ chunks }: ApiAnswer): AsyncGenerator<PodChange, void> {
    const lines = new JsonLines(this.#limits.eventBytesMax);
    for await (const chunk of chunks) {
      for (const line of lines.push(chunk)) {
        const change = line === lineTooLong ? this.#passOver() : this.#readEvent(line);
        if (change !== undefined) yield change;
      }
    }
  }

  #passOver(): undefined {
    const { nodeName } = this.#settings;
    this.#log.warn(`a change of a pod on ${nodeName} is over the limit and was passed over`, {
      limitBytes: this.#limits.eventBytesMax,
    });
  }

  #readEvent(line: Buffer): PodChange | undefined {
    const event = this.#parse(line);
    const type = textOf(event, "type");
    const object = fieldOf(event, "object");
    if (type === "ERROR") {
      throw this.#refused("watch", readStatus(500, JSON.stringify(object ?? null), {}));
    }
    const resourceVersion = resourceVersionOf(object);
    if (resourceVersion === "") throw this.#invalid(`an event "${type}" without a version`);
    const deleted = type === "DELETED";
    const pod = type === "BOOKMARK" ? undefined : parsePod(object);
    return pod === undefined ? { resourceVersion, deleted } : { resourceVersion, deleted, pod };
  }

  /** One request; the answer is OK. A token that was rotated meanwhile is tried at once. */
  async #ask(
    parameters: Readonly<Record<string, string>>,
    asked: Asked,
    giveUp: AbortSignal,
  ): Promise<ApiAnswer> {
    const { apiServer, nodeName } = this.#settings;
    const url = new URL(`${apiServer.replace(/\/+$/, "")}/api/v1/pods`);
    url.searchParams.set("fieldSelector", `spec.nodeName=${nodeName}`);
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    const { quietMs, limitMs, verb } = asked;
    let credentials = await this.#access.credentials();
    for (let tries = 1; ; tries++) {
      const { clock } = this.#runtime;
      const answer = await sendRequest({ url, credentials, quietMs, limitMs, clock, giveUp });
      if (answer.status === 200) return answer;
      const body = (await this.#readBody(answer)).toString("utf8");
      const status = readStatus(answer.status, body, answer.headers);
      const before = credentials.token;
      if (status.status === 401 && tries === 1) {
        credentials = await this.#access.credentials(true);
        if (credentials.token !== before) continue;
      }
      throw this.#refused(verb, status);
    }
  }

  async #readBody({ chunks }: ApiAnswer): Promise<Buffer> {
    const { pageBytesMax } = this.#limits;
    const parts: Buffer[] = [];
    let bytes = 0;
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > pageBytesMax) throw this.#invalid(`an answer of over ${pageBytesMax} bytes`);
      parts.push(chunk);
    }
    return Buffer.concat(parts, bytes);
  }

  #parse(bytes: Buffer): unknown {
    try {
      return JSON.parse(bytes.toString("utf8"));
    } catch {
      throw this.#invalid("an answer that is no JSON");
    }
  }

  #refused(verb: "list" | "watch", status: ReturnType<typeof readStatus>): MillraceError {
    const { apiServer, tokenFile } = this.#settings;
    return statusError(status, { url: new URL(apiServer), verb, tokenFile });
  }

  #invalid(what: string): MillraceError {
    const { apiServer } = this.#settings;
    return new MillraceError(
      "KUBERNETES_UNAVAILABLE",
      `the API server at ${apiServer} gave ${what}`,
    );
  }
}
