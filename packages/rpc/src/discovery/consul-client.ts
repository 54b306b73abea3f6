import { type Clock, type ErrorCode, MillraceError, sleep } from "@millrace/core";
import type Library from "consul";
import { EventEmitter } from "node:events";
import type { IncomingMessage } from "node:http";
import { isIPv6 } from "node:net";
import type { ConsulSettings } from "./consul-settings.ts";
import { parseInstances, type ServiceInstance } from "./service-instances.ts";

/** The few things that are asked of a Consul agent. */
export interface ConsulClient {
  /** For the log. */
  readonly agent: string;
  /**
   * The instances of a service. With `index`, Consul keeps the question until there is something
   * newer than that, or until `waitMs`. Throws DISCOVERY_FAILED.
   */
  instances(question: InstancesQuestion, giveUp: AbortSignal): Promise<InstancesAnswer>;
  /** Registers, or registers anew, under the registration's id. Throws REGISTRATION_FAILED. */
  register(registration: ServiceRegistration, giveUp: AbortSignal): Promise<void>;
  /** Says that a TTL check passes. Throws REGISTRATION_FAILED, also when Consul does not know it. */
  pass(checkId: string, note: string, giveUp: AbortSignal): Promise<void>;
  /** Whether the agent has the service. Throws REGISTRATION_FAILED. */
  isRegistered(id: string, giveUp: AbortSignal): Promise<boolean>;
  /** Throws REGISTRATION_FAILED. One it does not know is no error. */
  deregister(id: string, giveUp: AbortSignal): Promise<void>;
  /** Closes idle connections. */
  close(): void;
}

export interface InstancesQuestion {
  readonly service: string;
  readonly tags: readonly string[];
  readonly datacenter?: string;
  readonly near?: string;
  readonly passing: boolean;
  /** Of the last answer; none asks for an answer at once. */
  readonly index?: bigint;
  readonly waitMs: number;
}

export interface InstancesAnswer {
  readonly instances: readonly ServiceInstance[];
  readonly index: bigint;
  /** Consul left out what the token may not see. */
  readonly filtered: boolean;
}

export interface ServiceRegistration {
  readonly id: string;
  readonly name: string;
  readonly tags: readonly string[];
  readonly address: string;
  readonly port: number;
  readonly meta: Readonly<Record<string, string>>;
  readonly check: ServiceCheck;
}

export type ServiceCheck = {
  readonly id: string;
  /** Consul forgets a service whose check has failed for this long. */
  readonly deregisterAfterSeconds: number;
} & (
  | { readonly kind: "tcp"; readonly target: string; readonly intervalSeconds: number }
  | { readonly kind: "ttl"; readonly ttlSeconds: number }
);

/** A request that Consul answers at once. */
const answerWaitMs = 10_000;

/** What the library takes beside its documented options: see its `lib/utils.js`. */
interface Common {
  readonly token?: string;
  readonly ctx: EventEmitter;
}

/** Over the `consul` package, which is loaded here and nowhere else. */
export async function openConsulClient(
  settings: ConsulSettings,
  clock: Clock,
): Promise<ConsulClient> {
  const { default: Consul } = await import("consul");
  const { secure, host, port, socketPath } = settings.address;
  const options = {
    secure,
    host: isIPv6(host) ? `[${host}]` : host,
    port,
    ...(socketPath === undefined ? {} : { socketPath }),
    ...(await settings.tls()),
  };
  return new LibraryClient(new Consul(options), settings, clock);
}

class LibraryClient implements ConsulClient {
  readonly agent: string;
  readonly #library: Library;
  readonly #settings: ConsulSettings;
  readonly #clock: Clock;

  constructor(library: Library, settings: ConsulSettings, clock: Clock) {
    this.agent = settings.agent;
    this.#library = library;
    this.#settings = settings;
    this.#clock = clock;
  }

  async instances(question: InstancesQuestion, giveUp: AbortSignal): Promise<InstancesAnswer> {
    const { service, tags, datacenter, near, passing, index, waitMs } = question;
    const [response, body] = await this.#call(
      { code: "DISCOVERY_FAILED", waitMs: index === undefined ? 0 : waitMs, giveUp },
      (common) =>
        this.#library.health.service({
          service,
          passing,
          // Several are sent as several parameters, which Consul takes as "all of them".
          ...(tags.length === 0 ? {} : { tag: tags as unknown as string }),
          ...(datacenter === undefined ? {} : { dc: datacenter }),
          ...(near === undefined ? {} : { near }),
          ...(index === undefined ? {} : { index: String(index), wait: `${waitMs}ms` }),
          ...common,
        }),
    );
    const { headers } = response;
    return {
      instances: parseInstances(body),
      index: readIndex(headers["x-consul-index"]),
      filtered: headers["x-consul-results-filtered-by-acls"] === "true",
    };
  }

  async register(registration: ServiceRegistration, giveUp: AbortSignal): Promise<void> {
    const { id, name, tags, address, port, meta, check } = registration;
    const common = {
      checkid: check.id,
      name: `${name} takes connections`,
      // The list of peers is right from the first moment: it listens already.
      status: "passing",
      deregistercriticalserviceafter: `${check.deregisterAfterSeconds}s`,
    };
    const seconds = check.kind === "tcp" ? check.intervalSeconds : check.ttlSeconds;
    const checked =
      check.kind === "tcp"
        ? { ...common, tcp: check.target, interval: `${seconds}s`, timeout: "5s" }
        : { ...common, ttl: `${seconds}s`, timeout: "5s" };
    await this.#call({ code: "REGISTRATION_FAILED", giveUp }, (call) =>
      this.#library.agent.service.register({
        id,
        name,
        tags: [...tags],
        address,
        port,
        meta: { ...meta },
        check: checked,
        ...call,
      }),
    );
  }

  async pass(checkId: string, note: string, giveUp: AbortSignal): Promise<void> {
    await this.#call({ code: "REGISTRATION_FAILED", giveUp }, (common) =>
      this.#library.agent.check.pass({ id: checkId, note, ...common }),
    );
  }

  async isRegistered(id: string, giveUp: AbortSignal): Promise<boolean> {
    const [, body] = await this.#call({ code: "REGISTRATION_FAILED", giveUp }, (common) =>
      this.#library.agent.service.list(common),
    );
    return typeof body === "object" && body !== null && Object.hasOwn(body, id);
  }

  async deregister(id: string, giveUp: AbortSignal): Promise<void> {
    try {
      await this.#call({ code: "REGISTRATION_FAILED", giveUp }, (common) =>
        this.#library.agent.service.deregister({ id, ...common }),
      );
    } catch (error) {
      if (!(error instanceof MillraceError) || error.context["status"] !== 404) throw error;
    }
  }

  close(): void {
    this.#library.destroy();
  }

  /** One request, ended by the answer, by its time, or when given up. */
  async #call(
    { code, waitMs = 0, giveUp }: { code: ErrorCode; waitMs?: number; giveUp: AbortSignal },
    send: (common: Common) => Promise<unknown>,
  ): Promise<[IncomingMessage, unknown]> {
    const token = await this.#settings.token();
    // The library answers [response, body] to a context that asks for it, and aborts on "cancel".
    const context = Object.assign(new EventEmitter(), { includeResponse: true });
    const ended = new AbortController();
    const end = (): void => ended.abort();
    giveUp.addEventListener("abort", end, { once: true });
    if (giveUp.aborted) end();
    // Consul adds up to a sixteenth to what it was asked to wait.
    const limitMs = waitMs + waitMs / 16 + answerWaitMs;
    let answered = false;
    void sleep(this.#clock, limitMs, ended.signal).then(() => {
      if (!answered) context.emit("cancel");
    });
    try {
      const common = { ctx: context, ...(token === undefined ? {} : { token }) };
      return (await send(common)) as [IncomingMessage, unknown];
    } catch (thrown) {
      throw this.#wrap(thrown, code, limitMs, giveUp.aborted);
    } finally {
      answered = true;
      giveUp.removeEventListener("abort", end);
      end();
    }
  }

  /** Without the cause: the library's error holds the request, and so the token. */
  #wrap(thrown: unknown, code: ErrorCode, limitMs: number, givenUp: boolean): MillraceError {
    const error = thrown as Error & { isAbort?: boolean; response?: { statusCode?: number } };
    const status = error.response?.statusCode;
    const reason = givenUp
      ? "the question was given up"
      : error.isAbort === true
        ? `no answer within ${limitMs / 1000} s`
        : reasonOf(error);
    const hint = status === 403 ? "; the token must have the right to it" : "";
    return new MillraceError(code, `Consul at ${this.agent}: ${reason}${hint}`, {
      context: { agent: this.agent, ...(status === undefined ? {} : { status }) },
    });
  }
}

/** A connection to several addresses of one name fails with one error for each, and no message. */
function reasonOf(error: Error): string {
  if (error instanceof AggregateError) {
    return error.errors.map((one) => (one as Error).message).join(", ");
  }
  return error.message;
}

/** 0 when there is none: the next question is then asked without. */
function readIndex(header: string | string[] | undefined): bigint {
  return typeof header === "string" && /^\d{1,20}$/.test(header) ? BigInt(header) : 0n;
}
