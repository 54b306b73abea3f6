import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { freePort } from "../processes/free-port.ts";

/** What the agent does with every request from now on. */
export type ConsulFault = "none" | "hang" | "error" | "forbidden" | "cut";

export interface ConsulRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly token: string | undefined;
  readonly body: unknown;
}

export interface ConsulService {
  readonly ID: string;
  readonly Name: string;
  readonly Tags: readonly string[];
  readonly Address: string;
  readonly Port: number;
  readonly Weights?: { readonly Passing: number };
  readonly Check?: Readonly<Record<string, unknown>>;
}

/**
 * As much of a Consul agent's HTTP interface as discovery and registration use, on 127.0.0.1, in
 * memory: services with one check each, and blocking questions. The tests in `test/consul` hold the
 * same code to a real one.
 */
export interface ConsulAgent {
  /** "127.0.0.1:8500"; the same after `stop` and `listen`. */
  readonly address: string;
  readonly requests: readonly ConsulRequest[];
  readonly services: ReadonlyMap<string, ConsulService>;
  /** Blocking questions that wait now. */
  readonly waiting: number;
  /** Sent as X-Consul-Index; every change raises it. Setting it is no change. */
  index: number;
  fault: ConsulFault;
  /** Sent with answers: whether the token hid something. */
  filtered: boolean;
  put(service: ConsulService): void;
  remove(id: string): void;
  /** The state of the service's check; a registered one begins as it says, or passing. */
  setHealth(id: string, health: "passing" | "critical"): void;
  health(id: string): string | undefined;
  /** Forgets everything, as a development agent that was started anew. */
  forget(): void;
  /** Ends every connection and listens no more, until `listen`. */
  stop(): Promise<void>;
  listen(): Promise<void>;
}

export async function createConsulAgent(): Promise<ConsulAgent> {
  const requests: ConsulRequest[] = [];
  const services = new Map<string, ConsulService>();
  const healths = new Map<string, string>();
  const waiting = new Set<() => void>();
  let server: Server | undefined;
  const port = await freePort();

  function changed(): void {
    agent.index++;
    for (const answer of [...waiting]) answer();
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://consul");
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const token = request.headers["x-consul-token"];
    requests.push({
      method: request.method ?? "",
      path: url.pathname,
      query: url.searchParams,
      token: typeof token === "string" ? token : undefined,
      body: text === "" ? undefined : JSON.parse(text),
    });
    if (agent.fault === "hang") return;
    if (agent.fault === "cut") {
      request.socket.destroy();
      return;
    }
    if (agent.fault === "error") return answer(response, 500, "No cluster leader");
    if (agent.fault === "forbidden") return answer(response, 403, "Permission denied");
    const [, , area = "", kind = "", verb = "", id = ""] = url.pathname.split("/");
    const name = decodeURIComponent(verb);
    if (area === "health" && kind === "service") return healthOf(name, url, response);
    if (area !== "agent") return answer(response, 404, "not found");
    if (kind === "services") return answer(response, 200, Object.fromEntries(services));
    const known = decodeURIComponent(id);
    if (kind === "service" && verb === "register") agent.put(JSON.parse(text) as ConsulService);
    else if (kind === "service" && verb === "deregister") {
      if (!services.has(known)) return answer(response, 404, `Unknown service ID "${known}"`);
      agent.remove(known);
    } else if (kind === "check" && verb === "pass") {
      const owner = [...services.values()].find(({ Check }) => Check?.["CheckID"] === known);
      if (owner === undefined) return answer(response, 404, `Unknown check ID "${known}"`);
      agent.setHealth(owner.ID, "passing");
    } else return answer(response, 404, "not found");
    answer(response, 200, undefined);
  }

  function healthOf(name: string, { searchParams }: URL, response: ServerResponse): void {
    const reply = (): void => {
      waiting.delete(reply);
      const found = [...services.values()].filter(
        ({ ID, Name, Tags }) =>
          Name === name &&
          searchParams.getAll("tag").every((tag) => Tags.includes(tag)) &&
          (!searchParams.has("passing") || healths.get(ID) === "passing"),
      );
      const entries = found.map((Service) => ({ Node: { Address: "127.0.0.9" }, Service }));
      answer(response, 200, entries);
    };
    const index = Number(searchParams.get("index") ?? 0);
    if (index === 0 || index < agent.index) return reply();
    waiting.add(reply);
    response.once("close", () => waiting.delete(reply));
  }

  function answer(response: ServerResponse, status: number, body: unknown): void {
    const isText = typeof body === "string";
    response.writeHead(status, {
      "content-type": isText ? "text/plain" : "application/json",
      "x-consul-index": String(agent.index),
      ...(agent.filtered ? { "x-consul-results-filtered-by-acls": "true" } : {}),
    });
    response.end(isText ? body : JSON.stringify(body));
  }

  const agent: ConsulAgent = {
    requests,
    services,
    index: 10,
    fault: "none",
    filtered: false,
    get address() {
      return `127.0.0.1:${port}`;
    },
    get waiting() {
      return waiting.size;
    },
    put(service) {
      services.set(service.ID, service);
      const { Status = "passing" } = (service.Check ?? {}) as { Status?: string };
      healths.set(service.ID, Status);
      changed();
    },
    remove(id) {
      services.delete(id);
      healths.delete(id);
      changed();
    },
    setHealth(id, health) {
      if (healths.get(id) === health) return;
      healths.set(id, health);
      changed();
    },
    health: (id) => healths.get(id),
    forget() {
      services.clear();
      healths.clear();
      agent.index = 1;
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
      const made = createServer((request, response) => {
        serve(request, response).catch(() => response.destroy());
      });
      made.listen(port, "127.0.0.1");
      await once(made, "listening");
      server = made;
    },
  };
  await agent.listen();
  return agent;
}
