import type { Log, MillraceError } from "@millrace/core";
import { formatHost } from "../discovery/host-address.ts";
import type { Host as HostAddress } from "../discovery/host-list.ts";
import {
  type ClientRuntime,
  type ConnectionSettings,
  HostConnections,
  type RouteObserver,
} from "./host-connections.ts";
import { HostHealth, type Offer, type OfferOutcome } from "./host-health.ts";

export interface HostSettings extends ConnectionSettings {
  /** 0 for no penalties. */
  readonly penaltyMsMax: number;
}

/** One of the hosts of a client: where it is, how it is, and the connections to it. */
export class Host {
  /** "collector:4141" */
  readonly name: string;
  readonly health: HostHealth;
  readonly connections: HostConnections;
  readonly #log: Log;

  constructor(
    address: HostAddress,
    settings: HostSettings,
    runtime: ClientRuntime,
    log: Log,
    observer: RouteObserver,
  ) {
    this.name = formatHost(address);
    this.health = new HostHealth(runtime.clock, runtime.random, settings.penaltyMsMax);
    this.connections = new HostConnections(address, settings, runtime, log, observer);
    this.#log = log;
  }

  get address(): HostAddress {
    return this.connections.address;
  }

  /** It was found again; its priority, weight or the name on its certificate may be another. */
  set address(address: HostAddress) {
    this.connections.address = address;
  }

  /** Settles an offer, and says so when the host begins to fail or works again. */
  settle(offer: Offer, outcome: OfferOutcome, error?: MillraceError): void {
    const news = this.health.settle(offer, outcome, error);
    if (news === "recovered") this.#log.info(`${this.name} answered a trial batch, in use again`);
    if (news !== "failing") return;
    const { penaltyMs } = this.health;
    const out = penaltyMs > 0 ? `left out for ${Math.round(penaltyMs / 100) / 10} s` : "";
    this.#log.warn(`${this.name} failed: ${error?.code}${out === "" ? "" : `; ${out}`}`, { error });
  }
}
