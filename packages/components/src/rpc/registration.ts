import {
  type Clock,
  jitter,
  type SourceContext,
  sleep,
  settledBy,
  toMillraceError,
} from "@millrace/core";
import {
  type ConsulClient,
  type ConsulSettings,
  openConsulClient,
  readConsulSettings,
  type ServiceRegistration,
} from "@millrace/rpc/discovery";
import { isIPv6 } from "node:net";
import { hostname } from "node:os";
import type { RegistrationOptions } from "./registration-options.ts";

/** A source's entry in Consul, from when it listens until it stops. */
export interface Registration {
  /**
   * Registers in the background, as often as it takes: a source listens also without Consul. May
   * be called again after a stop, such as that of a source whose first start failed.
   */
  start(port: number): void;
  /**
   * Deregisters, so that senders are told to go elsewhere before the source drains. Within two
   * seconds and the deadline; when that does not succeed the check will.
   */
  stop(deadline: AbortSignal): Promise<void>;
}

/** What a registration is made of, beside the options. */
export interface Registered {
  readonly bind: string;
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

const firstRetryMs = 1000;
const retryMaxMs = 30_000;
/** Where no TTL tells that Consul has lost the entry, it is looked for once in so many checks. */
const checksPerLook = 3;
const deregisterMs = 2000;

/** Undefined when no `consul.service` is set. Throws CONFIG_INVALID for an environment that is none. */
export function createRegistration(
  options: Partial<RegistrationOptions>,
  registered: Registered,
  context: SourceContext,
): Registration | undefined {
  const { consulService } = options;
  return consulService === undefined
    ? undefined
    : new ConsulRegistration({ ...options, consulService }, registered, context);
}

type Given = Partial<RegistrationOptions> & { readonly consulService: string };

class ConsulRegistration implements Registration {
  readonly #options: Given;
  readonly #registered: Registered;
  readonly #context: SourceContext;
  readonly #settings: ConsulSettings;
  #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  #client: ConsulClient | undefined;
  #entry: ServiceRegistration | undefined;
  #isRegistered = false;
  /** Something may have reached Consul. */
  #asked = false;
  #wasRegistered = false;
  #failuresInRow = 0;

  constructor(options: Given, registered: Registered, context: SourceContext) {
    this.#options = options;
    this.#registered = registered;
    this.#context = context;
    const { consulAgent: agent, consulTokenFile: tokenFile } = options;
    this.#settings = readConsulSettings({
      ...(agent === undefined ? {} : { agent }),
      ...(tokenFile === undefined ? {} : { tokenFile }),
      ...(registered.environment === undefined ? {} : { environment: registered.environment }),
      files: context.runtime.files,
    });
    context.metrics.gauge(
      "millrace_source_registered",
      "Whether the source's entry is in Consul, as last known.",
      () => Number(this.#isRegistered),
    );
  }

  start(port: number): void {
    this.#stopping = new AbortController();
    this.#stopped = undefined;
    this.#entry = this.#describe(port);
    this.#running = this.#run(this.#entry);
  }

  stop(deadline: AbortSignal): Promise<void> {
    this.#stopped ??= this.#stop(deadline);
    return this.#stopped;
  }

  async #stop(deadline: AbortSignal): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    const { clock } = this.#context.runtime;
    if (this.#asked) await untilEither(deadline, clock, (giveUp) => this.#deregister(giveUp));
    this.#asked = false;
    this.#isRegistered = false;
    this.#client?.close();
    this.#client = undefined;
  }

  async #run(entry: ServiceRegistration): Promise<void> {
    const { clock, random } = this.#context.runtime;
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      let pauseMs: number;
      try {
        if (this.#isRegistered) this.#isRegistered = await this.#confirm(entry);
        if (!this.#isRegistered) await this.#register(entry);
        pauseMs =
          entry.check.kind === "ttl"
            ? (entry.check.ttlSeconds * 1000) / 3
            : entry.check.intervalSeconds * 1000 * checksPerLook;
      } catch (error) {
        if (signal.aborted) break;
        pauseMs = this.#failed(error);
      }
      await sleep(clock, jitter(random, pauseMs), signal);
    }
  }

  /** Whether Consul still has the entry; what a TTL check asks for is said on the way. */
  async #confirm({ id, check }: ServiceRegistration): Promise<boolean> {
    const client = await this.#open();
    const { signal } = this.#stopping;
    if (check.kind === "tcp") return await client.isRegistered(id, signal);
    try {
      await client.pass(check.id, "listening", signal);
      return true;
    } catch (error) {
      // An agent that does not know the check has lost the entry; any other failure shows below.
      if (await client.isRegistered(id, signal)) throw error;
      return false;
    }
  }

  async #register(entry: ServiceRegistration): Promise<void> {
    const client = await this.#open();
    this.#asked = true;
    await client.register(entry, this.#stopping.signal);
    const again = this.#wasRegistered ? " again" : "";
    this.#isRegistered = true;
    this.#wasRegistered = true;
    this.#failuresInRow = 0;
    const tags = entry.tags.length === 0 ? "" : `, ${entry.tags.join(", ")}`;
    this.#context.log.info(
      `registered${again} in Consul at ${client.agent} as ${entry.name}${tags}`,
      { id: entry.id, address: entry.address, port: entry.port },
    );
  }

  /** The first failure in a row is a line. Returns how long to wait. */
  #failed(thrown: unknown): number {
    this.#isRegistered = false;
    const { code, message } = toMillraceError(thrown);
    if (this.#failuresInRow++ === 0) {
      this.#context.log.warn(
        `not registered as ${this.#options.consulService}: ${message}; it is tried again, events are taken all the same`,
        { code },
      );
    }
    return Math.min(firstRetryMs * 2 ** Math.min(this.#failuresInRow - 1, 20), retryMaxMs);
  }

  async #deregister(giveUp: AbortSignal): Promise<void> {
    const { log } = this.#context;
    try {
      await (await this.#open()).deregister(this.#entry?.id ?? "", giveUp);
      log.info(`deregistered in Consul at ${this.#settings.agent}`);
    } catch (error) {
      const { code, message } = toMillraceError(error);
      log.warn(`not deregistered: ${message}; its check will show that it is gone`, { code });
    }
  }

  async #open(): Promise<ConsulClient> {
    this.#client ??= await openConsulClient(this.#settings, this.#context.runtime.clock);
    return this.#client;
  }

  #describe(port: number): ServiceRegistration {
    const { consulService, consulTags = [], consulAddress, consulCheck } = this.#options;
    const { bind } = this.#registered;
    const { agent, name } = this.#context;
    const toAll = bind === "0.0.0.0" || bind === "::";
    const address = consulAddress ?? (toAll ? "" : bind);
    // The same after a restart, so that an entry that was left behind is taken over.
    const id = `millrace:${agent}:${address === "" ? hostname() : address}:${port}`;
    const common = {
      id: `${id}:check`,
      deregisterAfterSeconds: this.#options.consulDeregisterAfterSeconds ?? 3600,
    };
    // An agent that is not told an address is on this machine: its node's is ours.
    const target = address === "" ? (bind === "::" ? "::1" : "127.0.0.1") : address;
    return {
      id,
      name: consulService,
      tags: consulTags,
      address,
      port,
      meta: { agent, source: name },
      check:
        consulCheck === "ttl"
          ? { ...common, kind: "ttl", ttlSeconds: this.#options.consulTtlSeconds ?? 30 }
          : {
              ...common,
              kind: "tcp",
              target: isIPv6(target) ? `[${target}]:${port}` : `${target}:${port}`,
              intervalSeconds: this.#options.consulIntervalSeconds ?? 10,
            },
    };
  }
}

/** Work that is given up at the deadline, or when deregistering takes too long to wait for it. */
async function untilEither(
  deadline: AbortSignal,
  clock: Clock,
  work: (giveUp: AbortSignal) => Promise<void>,
): Promise<void> {
  const giveUp = new AbortController();
  const abort = (): void => giveUp.abort();
  deadline.addEventListener("abort", abort, { once: true });
  if (deadline.aborted) abort();
  const timer = clock.setTimer(deregisterMs, abort);
  await settledBy(work(giveUp.signal), giveUp.signal, clock, firstRetryMs);
  timer.cancel();
  deadline.removeEventListener("abort", abort);
}
