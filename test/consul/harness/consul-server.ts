import { type Child, freePort, startChild, tempDirectory, waitFor } from "@millrace/testing";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";

/** A Consul server of its own for one test, on loopback. */
export interface ConsulServer {
  /** "127.0.0.1:8500", the same in all its lives. */
  readonly address: string;
  start(): Promise<void>;
  /** At once. Its agent's services are in its data directory: the next start knows them. */
  kill(): Promise<void>;
  /** Removes its data, while it does not run: the next start is a new Consul. */
  forget(): Promise<void>;
  get(path: string): Promise<unknown>;
  put(path: string, body?: unknown): Promise<unknown>;
  /** Its instances as `id passing|warning|critical`, in the order of their ids. */
  health(service: string): Promise<string[]>;
  output(): string;
}

interface HealthEntry {
  readonly Service: { readonly ID: string };
  readonly Checks: readonly { readonly Status: string }[];
}

export interface ConsulServerOptions {
  /** More of its configuration. */
  readonly settings?: string;
  /** For the harness's own requests. */
  readonly token?: string;
}

export async function createConsulServer(
  test: TestContext,
  binary: string,
  options: ConsulServerOptions = {},
): Promise<ConsulServer> {
  const folder = await tempDirectory(test);
  const [http, server, serf] = [await freePort(), await freePort(), await freePort()];
  const address = `127.0.0.1:${http}`;
  const lives: Child[] = [];
  // What is not needed does not listen, and nothing outside this machine is asked.
  const settings = `
    data_dir = "${join(folder, "data")}"
    disable_update_check = true
    bind_addr = "127.0.0.1"
    client_addr = "127.0.0.1"
    check_update_interval = "0s"
    ${options.settings ?? ""}
    ports { http = ${http} server = ${server} serf_lan = ${serf} serf_wan = -1 dns = -1 grpc = -1 grpc_tls = -1 }`;
  const command = [binary, "agent", "-dev", "-node", "n1", "-log-level", "warn", "-hcl", settings];

  async function request(path: string, init: RequestInit = {}): Promise<Response> {
    const signal = AbortSignal.timeout(5000);
    const headers: Record<string, string> =
      options.token === undefined ? {} : { "x-consul-token": options.token };
    const response = await fetch(`http://${address}${path}`, { ...init, headers, signal });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response;
  }
  const get = async (path: string): Promise<unknown> => (await request(path)).json();
  const output = (): string => lives.map((child) => child.output()).join("");

  return {
    address,
    output,
    get,
    async start() {
      const child = startChild(test, { command });
      lives.push(child);
      const isReady = async (): Promise<boolean> => {
        if (child.exit !== undefined) throw new Error(`Consul ended:\n${child.output()}`);
        const leader = await get("/v1/status/leader").catch(() => "");
        const nodes = leader === "" ? [] : await get("/v1/catalog/nodes").catch(() => []);
        return Array.isArray(nodes) && nodes.length > 0;
      };
      await waitFor("Consul to have a leader", isReady, 60_000).catch((error: Error) => {
        throw new Error(`${error.message}; its output:\n${child.output().slice(-4000)}`);
      });
    },
    async kill() {
      const child = lives.at(-1);
      child?.signal("SIGKILL");
      await child?.exited();
    },
    async forget() {
      await rm(join(folder, "data"), { recursive: true, force: true });
    },
    async put(path, body) {
      const init = body === undefined ? {} : { body: JSON.stringify(body) };
      const text = await (await request(path, { method: "PUT", ...init })).text();
      return text === "" ? undefined : JSON.parse(text);
    },
    async health(service) {
      const entries = (await get(`/v1/health/service/${service}`)) as HealthEntry[];
      return entries
        .map(({ Service, Checks }) => {
          const worst = ["critical", "warning"].find((status) =>
            Checks.some((check) => check.Status === status),
          );
          return `${Service.ID} ${worst ?? "passing"}`;
        })
        .sort();
    },
  };
}
