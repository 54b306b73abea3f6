import {
  type Clock,
  type EventBatch,
  type FileSystem,
  type Log,
  MillraceError,
  parseOptions,
  type Random,
  silentLog,
  systemRuntime,
} from "@millrace/core";
import { openHostList } from "../discovery/open-host-list.ts";
import { checkClientTransport, clientTransport } from "../tcp/client-transport-options.ts";
import type { SystemProperties } from "../tcp/tls-options.ts";
import { clientOptions, type ClientValues } from "./client-options.ts";
import { type EventInput, toEventBatch } from "./event-input.ts";
import { createEventRoute, type EventRoute } from "./event-route.ts";
import { createHostChoice } from "./create-host-choice.ts";
import type { CreateHostSelector } from "./host-choice.ts";
import { type HostSettings, type PropertyProblem, readHosts } from "./host-settings.ts";
import { loadHostSelector } from "./load-host-selector.ts";
import { loadWire } from "./load-wire.ts";
import { type ClientProperties, readClientProperties } from "./read-client-properties.ts";
import type { RpcClient } from "./rpc-client.ts";

export interface RpcClientSettings {
  /** The machine's when not given. */
  readonly clock?: Clock;
  readonly random?: Random;
  readonly files?: FileSystem;
  /** Silent when not given. */
  readonly log?: Log;
  /** In place of `host-selector`. */
  readonly createHostSelector?: CreateHostSelector;
  /** Java's, by which TLS may be set for all: `javax.net.ssl.trustStore`. None when not given. */
  readonly systemProperties?: SystemProperties;
}

/** One for each call: Node.js warns of a signal that more than ten listen to. */
const never = (): AbortSignal => new AbortController().signal;

/**
 * Makes an RPC client from Flume's properties: an object, a map, or the path of a properties file.
 * A client of one host connects now; those of several when they have something to send. Throws
 * CONFIG_INVALID with every problem, READ_FAILED, or RPC_CONNECT_FAILED.
 */
export async function createRpcClient(
  properties: ClientProperties,
  settings: RpcClientSettings = {},
): Promise<RpcClient> {
  const { files = systemRuntime.files, log = silentLog } = settings;
  const read = await readClientProperties(properties, files);
  const { options: values, unknownKeys, ...parsed } = parseOptions(clientOptions, read);
  const problems: PropertyProblem[] = [...parsed.problems];
  const global = settings.systemProperties ?? new Map<string, string>();
  let hosts: HostSettings | undefined;
  if (problems.length === 0) {
    hosts = readHosts(values);
    problems.push(...hosts.problems, ...checkClientTransport(values, global));
    if (values.kerberos) problems.push({ key: "kerberos", message: clientOptions.kerberos.description }); // prettier-ignore
  }
  if (hosts === undefined || problems.length > 0) throw invalid(problems, properties);
  for (const key of unknownKeys) log.warn(`${key} is not a property of RPC clients`);
  for (const { key, why } of parsed.notes) log.info(`${key} has no effect: ${why}`);
  for (const note of hosts.notes) log.warn(note);
  const route = await openRoute(values, hosts, settings, global);
  return new Client(values, hosts.type, route);
}

async function openRoute(
  values: ClientValues,
  { type, addresses }: HostSettings,
  { createHostSelector, ...given }: RpcClientSettings,
  global: SystemProperties,
): Promise<EventRoute> {
  const { clock, random, files, log } = { ...systemRuntime, log: silentLog, ...given };
  const selector = createHostSelector ?? (await loadHostSelector(values.hostSelector));
  const route = createEventRoute({
    ...values,
    ...createHostChoice(type, values, selector, random),
    openHosts: () => openHostList(addresses, { clock, random, files, log }),
    createClient: await loadWire(type, values.protocol),
    transport: clientTransport(values, global),
    connectionsMax: type === "thrift" ? values.maxConnections : 1,
    runtime: { clock, random, files },
    log,
  });
  try {
    await route.start(never());
    if (hasOneHost(type)) await route.connect();
  } catch (error) {
    await route.stop(AbortSignal.abort());
    throw error;
  }
  return route;
}

function hasOneHost(type: HostSettings["type"]): boolean {
  return type === "default" || type === "thrift";
}

class Client implements RpcClient {
  readonly batchSize: number;
  readonly maxFrameBytes: number;
  readonly #type: HostSettings["type"];
  readonly #route: EventRoute;
  #isClosed = false;

  constructor(
    { batchSize, maxFrameBytes }: ClientValues,
    type: HostSettings["type"],
    route: EventRoute,
  ) {
    this.batchSize = batchSize;
    this.maxFrameBytes = maxFrameBytes;
    this.#type = type;
    this.#route = route;
  }

  get isActive(): boolean {
    if (this.#isClosed) return false;
    return hasOneHost(this.#type) ? this.#route.alive : true;
  }

  async append(event: EventInput | EventBatch): Promise<void> {
    const batch = toEventBatch("body" in event ? [event] : event);
    await this.#deliver(batch, batch.length === 1 ? "append" : "appendBatch");
  }

  async appendBatch(events: EventBatch | Iterable<EventInput>): Promise<void> {
    await this.#deliver(toEventBatch(events), "appendBatch");
  }

  /** Each call's deadline counts: who waits for answers may lose patience and close once more. */
  close(deadline: AbortSignal = never()): Promise<void> {
    this.#isClosed = true;
    return this.#route.stop(deadline);
  }

  async #deliver(batch: EventBatch, message: "append" | "appendBatch"): Promise<void> {
    if (this.#isClosed) {
      throw new MillraceError("RPC_CLIENT_CLOSED", "the client is closed; make another");
    }
    await this.#route.deliver(batch, undefined, message);
  }
}

function invalid(
  problems: readonly PropertyProblem[],
  properties: ClientProperties,
): MillraceError {
  const where = typeof properties === "string" ? `${properties}: ` : "";
  const text = problems.map(({ key, message }) => `${key}: ${message}`).join("\n");
  return new MillraceError("CONFIG_INVALID", `${where}${text}`, { context: { problems } });
}
