import {
  DeliveryError,
  type ErrorCode,
  type EventBatch,
  type Lifecycle,
  type Log,
  MillraceError,
  RemainingEvents,
  toMillraceError,
} from "@millrace/core";
import { CallSlots } from "./call-slots.ts";
import type { EventMessage } from "./connection.ts";
import { cutBatch } from "./cut-batch.ts";
import { Host, type HostSettings } from "./host.ts";
import { formatHost } from "../discovery/host-address.ts";
import type { HostChoice } from "./host-choice.ts";
import type { ClientRuntime, RouteObserver } from "./host-connections.ts";
import type { Host as HostAddress, HostList } from "../discovery/host-list.ts";

export interface EventRouteOptions extends HostSettings {
  /** Opens the list of hosts; called again by a start after a stop. */
  readonly openHosts: () => HostList;
  readonly choice: HostChoice;
  /** Events in one call, at most; a batch with more is sent in several. */
  readonly batchSize: number;
  /** How many hosts that can be reached may be asked for one call; each once when not given. */
  readonly attemptsMax?: number | undefined;
  readonly runtime: ClientRuntime;
  readonly log: Log;
  readonly observer?: RouteObserver;
}

/**
 * The way of batches to one of several hosts: choosing, connecting, failing over, several batches
 * in flight. RPC clients and the sinks of all wires are made of it.
 */
export interface EventRoute extends Lifecycle {
  /** Resolves when the first choice is connected; at once where hosts take turns. Throws RPC_CONNECT_FAILED. */
  connect(): Promise<void>;
  /**
   * Resolves when a host has answered OK to every part of the batch. What one host does not take
   * the next is offered, and only that. Throws DeliveryError saying which part of the batch was
   * taken, or when none was:
   *
   * - with one host, what its client threw;
   * - RPC_HOSTS_UNAVAILABLE when there are several, and none took it.
   */
  deliver(batch: EventBatch, giveUp?: AbortSignal, message?: EventMessage): Promise<void>;
  /** Whether a connection is open and nothing has gone wrong with it. */
  readonly alive: boolean;
  readonly hostCount: number;
  /** Hosts that answered OK last, or were never asked. */
  readonly hostsUp: number;
}

const closedWhy = "the client was closed on this side";

/** Nothing was sent: the host is not there, or not who it should be. */
const unreached: ReadonlySet<ErrorCode> = new Set(["RPC_CONNECT_FAILED", "RPC_TLS_FAILED"]);

/** What a request has beside its events is under this. */
const requestOverheadBytes = 512;

export function createEventRoute(options: EventRouteOptions): EventRoute {
  return new Route(options);
}

function refusesEvents(error: MillraceError): boolean {
  return error.answer === "reject" || (error instanceof DeliveryError && error.rejected.length > 0);
}

class Route implements EventRoute {
  readonly #options: EventRouteOptions;
  readonly #slots: CallSlots;
  readonly #deliveries = new Set<Promise<void>>();
  #list: HostList;
  #isListOpen = true;
  /** A stop's deadline is over: what is under way fails, and goes to no other host. */
  #isCut = false;
  #hosts: readonly Host[] = [];
  /** Not listed any more; they may still answer. */
  #leaving: readonly Host[] = [];

  constructor(options: EventRouteOptions) {
    this.#options = options;
    this.#slots = new CallSlots(options.batchesInFlight * options.connectionsMax);
    this.#list = this.#openList();
  }

  get alive(): boolean {
    return this.#hosts.some(({ connections }) => connections.alive);
  }

  get hostCount(): number {
    return this.#hosts.length;
  }

  get hostsUp(): number {
    return this.#hosts.filter(({ health }) => health.state === "up").length;
  }

  async start(aborted: AbortSignal): Promise<void> {
    if (!this.#isListOpen) this.#list = this.#openList();
    this.#isListOpen = true;
    this.#isCut = false;
    await this.#list.start(aborted);
  }

  async connect(): Promise<void> {
    const { choice } = this.#options;
    if (choice.takesTurns === true || !this.#isListOpen) return;
    for (const host of choice.order(this.#hosts)) return host.connections.connect();
  }

  async stop(deadline: AbortSignal): Promise<void> {
    const giveUp = (): void => {
      this.#isCut = true;
      this.#close();
    };
    deadline.addEventListener("abort", giveUp, { once: true });
    if (deadline.aborted) giveUp();
    while (this.#deliveries.size > 0) await Promise.all(this.#deliveries);
    deadline.removeEventListener("abort", giveUp);
    this.#close();
    this.#isListOpen = false;
    await this.#list.stop(deadline);
  }

  deliver(batch: EventBatch, giveUp?: AbortSignal, message?: EventMessage): Promise<void> {
    const delivery = this.#deliver(batch, giveUp, message ?? "appendBatch");
    const ended = delivery.catch(() => {}).then(() => void this.#deliveries.delete(ended));
    this.#deliveries.add(ended);
    return delivery;
  }

  #close(): void {
    const all = [...this.#hosts, ...this.#leaving];
    for (const { connections } of all) connections.close(closedWhy);
  }

  #openList(): HostList {
    const list = this.#options.openHosts();
    list.onChange(() => this.#readHosts(list.hosts));
    this.#readHosts(list.hosts);
    return list;
  }

  /** Keeps what is known of the hosts that stay; those that are gone finish what they have. */
  #readHosts(addresses: readonly HostAddress[]): void {
    const { runtime, log, observer = {} } = this.#options;
    const known = new Map(this.#hosts.map((host) => [host.name, host]));
    this.#hosts = addresses.map((address) => {
      const name = formatHost(address);
      const host = known.get(name) ?? new Host(address, this.#options, runtime, log, observer);
      host.address = address;
      known.delete(name);
      return host;
    });
    for (const { connections } of known.values()) connections.retire("it is not listed any more");
    this.#leaving = [...this.#leaving, ...known.values()].filter(
      ({ connections }) => !connections.isIdle,
    );
  }

  async #deliver(
    batch: EventBatch,
    giveUp: AbortSignal | undefined,
    message: EventMessage,
  ): Promise<void> {
    if (batch.length === 0) return;
    const { batchSize, maxFrameBytes } = this.#options;
    const parts = cutBatch(batch, batchSize, maxFrameBytes - requestOverheadBytes);
    if (parts.length === 1) return this.#slots.run(() => this.#sendPart(batch, message, giveUp));
    const taken = new RemainingEvents(batch);
    let failure: MillraceError | undefined;
    let next = 0;
    let sent = 0;
    const sendRest = async (): Promise<void> => {
      while (next < parts.length && failure === undefined) {
        const part = parts[next++] as EventBatch;
        const from = sent;
        sent += part.length;
        try {
          await this.#slots.run(() => this.#sendPart(part, message, giveUp));
          taken.notePart(from, part.length);
        } catch (thrown) {
          const error = toMillraceError(thrown);
          taken.notePart(from, part.length, error);
          failure ??= error;
        }
      }
    };
    // Over several connections at once the parts of one call would arrive in any order.
    const inFlight = Math.min(this.#options.batchesInFlight, parts.length);
    await Promise.all(Array.from({ length: inFlight }, sendRest));
    if (failure !== undefined) throw taken.failure(failure);
  }

  /** Offers a part to one host after another until they have all of it. */
  async #sendPart(
    part: EventBatch,
    message: EventMessage,
    giveUp: AbortSignal | undefined,
  ): Promise<void> {
    if (this.#isCut) throw new MillraceError("RPC_CONNECTION_LOST", closedWhy);
    const { choice, attemptsMax } = this.#options;
    const remaining = new RemainingEvents(part);
    let attempts = 0;
    let last: MillraceError | undefined;
    for (let round = 0; round === 0 || (attemptsMax ?? 0) > attempts; round++) {
      const before = attempts;
      for (const host of choice.order(this.#hosts)) {
        // It left the list since: nobody would end a connection that it is given now.
        if (!this.#hosts.includes(host)) continue;
        const { error, isFinal } = await this.#offer(host, remaining.left, message, giveUp);
        if (error === undefined) return choice.delivered?.(host);
        remaining.note(error);
        if (isFinal) throw remaining.failure(error);
        last = error;
        if (!unreached.has(error.code)) attempts++;
        if (attempts >= (attemptsMax ?? Infinity)) break;
      }
      if (attempts === before) break;
    }
    throw remaining.failure(this.#noneTook(remaining.left, last));
  }

  /** What came of it: no error when the host has it; `isFinal` when no other host would change it. */
  async #offer(
    host: Host,
    events: EventBatch,
    message: EventMessage,
    giveUp: AbortSignal | undefined,
  ): Promise<{ readonly error?: MillraceError; readonly isFinal?: boolean }> {
    const offer = host.health.offer();
    try {
      await host.connections.send(message, events, giveUp);
    } catch (thrown) {
      const error = toMillraceError(thrown);
      const isGivenUp = giveUp?.aborted === true || this.#isCut;
      const isFinal = isGivenUp || refusesEvents(error);
      host.settle(offer, isFinal ? "undecided" : "failed", error);
      if (!isFinal) this.#options.observer?.hostFailed?.(error);
      return { error, isFinal };
    }
    host.settle(offer, "delivered");
    return {};
  }

  #noneTook(part: EventBatch, last: MillraceError | undefined): MillraceError {
    if (this.#hosts.length <= 1 && last !== undefined) return last;
    const each = this.#hosts.map(({ name, health: { reason, penaltyMs } }) => {
      const out = penaltyMs > 0 ? `, left out for ${Math.ceil(penaltyMs / 1000)} s` : "";
      return `${name} ${reason === undefined ? "was not asked" : reason.code}${out}`;
    });
    const message =
      each.length === 0
        ? "no host is known yet"
        : `none of ${each.length} hosts took ${part.length} events: ${each.join("; ")}`;
    const penalties = this.#hosts.map(({ health }) => health.penaltyMs);
    const retryAfterMs = Math.min(...penalties);
    return new DeliveryError("RPC_HOSTS_UNAVAILABLE", message, {
      ...(last === undefined ? {} : { cause: last }),
      // While all are left out, sooner is in vain.
      ...(last === undefined && retryAfterMs > 0 && each.length > 0 ? { retryAfterMs } : {}),
    });
  }
}
