import type { Runtime } from "@millrace/core";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { type Agent, createAgent } from "./agent.ts";
import { type CollectorName, collectorNames, configFiles, type Layout } from "./layout.ts";
import { type Link, openLink } from "./link.ts";
import { activeSink, ratesOf } from "./readings.ts";
import type { TierRow } from "./view.ts";

/** The edge, its two collectors, and the links between them. */
export interface Fleet {
  readonly edge: Agent;
  readonly collectors: readonly Collector[];
  /** All agents are up and no link is stalled. */
  readonly calm: boolean;
  start(): Promise<void>;
  /** Reads all metrics, and sees from them which collector is the active one. */
  poll(): Promise<void>;
  killActive(): Promise<void>;
  /** Stalls the link of the active collector; lets all go on when one is stalled. */
  toggleStall(): void;
  /** Starts what is down. */
  restart(): Promise<void>;
  /** Everything up and connected again, so that what is held can drain. */
  restore(): Promise<void>;
  /** The edge first, then the collectors. */
  stop(): Promise<void>;
  destroy(): void;
  rows(): TierRow[];
}

export interface Collector {
  /** Also the name of the edge's sink that sends to it. */
  readonly name: CollectorName;
  readonly port: number;
  readonly link: Link;
  readonly agent: Agent;
}

export interface FleetOptions {
  readonly layout: Layout;
  /** Property files of the edge, later ones over earlier ones. */
  readonly edgeConfigs: readonly string[];
  readonly tell: (text: string) => void;
  /** Given the ids of all agents after some were started. */
  readonly onStarted: (ids: readonly number[]) => Promise<void>;
}

const firstPort = 41_411;

export async function createFleet(runtime: Runtime, options: FleetOptions): Promise<Fleet> {
  const { tell } = options;
  const { clock } = runtime;
  const collectors: Collector[] = [];
  for (const [index, name] of collectorNames.entries()) {
    collectors.push(await createCollector(runtime, options, name, firstPort + index));
  }
  const edge = await createEdge(runtime, options, collectors);
  const agents = [edge, ...collectors.map(({ agent }) => agent)];
  let active = collectors[0] as Collector;

  async function startAgent(agent: Agent): Promise<void> {
    const began = clock.monotonic();
    await agent.start();
    await agent.poll();
    tell(`${agent.name} ready after ${elapsed(began)} (pid ${agent.pid})`);
  }

  const elapsed = (beganMs: number): string => {
    const ms = clock.monotonic() - beganMs;
    return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
  };

  function noticeActive(): void {
    const [before, now] = edge.readings.slice(-2);
    if (before === undefined || now === undefined) return;
    const sink = activeSink(before, now);
    active = collectors.find(({ name }) => name === sink) ?? active;
  }

  function unstall(): void {
    for (const { name, link } of collectors) {
      if (!link.stalled) continue;
      link.setStalled(false);
      tell(`link to ${name} carries again`);
    }
  }

  const tellProcesses = (): Promise<void> =>
    options.onStarted(agents.flatMap(({ pid }) => (pid === undefined ? [] : [pid])));

  async function restart(): Promise<void> {
    for (const agent of agents) if (agent.state === "down") await startAgent(agent);
    await tellProcesses();
  }

  return {
    edge,
    collectors,
    get calm() {
      return agents.every(({ state }) => state === "up") && !collectors.some((c) => c.link.stalled);
    },
    async start() {
      await Promise.all(collectors.map(({ agent }) => startAgent(agent)));
      await startAgent(edge);
      await tellProcesses();
    },
    async poll() {
      await Promise.all(agents.map((agent) => agent.poll()));
      noticeActive();
    },
    async killActive() {
      const { agent, name } = active;
      if (agent.state !== "up") return tell(`${name} is down already; r restarts it`);
      tell(`${name} killed (SIGKILL, pid ${agent.pid})`);
      await agent.kill();
    },
    toggleStall() {
      if (collectors.some(({ link }) => link.stalled)) return unstall();
      active.link.setStalled(true);
      tell(`link to ${active.name} stalled: connected, and nothing moves; s lets it go on`);
    },
    restart,
    async restore() {
      unstall();
      await restart();
    },
    async stop() {
      await edge.stop();
      await Promise.all(collectors.map(({ agent }) => agent.stop()));
      await Promise.all(collectors.map(({ link }) => link.close()));
    },
    destroy() {
      for (const agent of agents) agent.destroy();
    },
    rows: () => [
      rowOf(edge, edge.state === "up" ? `active: ${active.name}` : edge.state),
      ...collectors.map((collector) => rowOf(collector.agent, stateOf(collector, active))),
    ],
  };
}

function createEdge(
  runtime: Runtime,
  options: FleetOptions,
  collectors: readonly Collector[],
): Promise<Agent> {
  const { layout, edgeConfigs } = options;
  return createWatchedAgent(runtime, options, {
    name: "edge",
    configName: "edge",
    configs: edgeConfigs,
    logFile: layout.agentLog("edge"),
    defines: {
      "quickstart.logs": layout.logs,
      "quickstart.state": layout.state("edge"),
      ...Object.fromEntries(
        collectors.map(({ name, link }) => [`quickstart.${name}.port`, String(link.port)]),
      ),
    },
  });
}

async function createCollector(
  runtime: Runtime,
  options: FleetOptions,
  name: CollectorName,
  wantedPort: number,
): Promise<Collector> {
  const { layout } = options;
  const port = await freePort(wantedPort);
  const agent = await createWatchedAgent(runtime, options, {
    name,
    configName: "collector",
    configs: [configFiles.collector],
    logFile: layout.agentLog(name),
    defines: {
      "quickstart.port": String(port),
      "quickstart.state": layout.state(name),
      "quickstart.out": layout.out(name),
    },
  });
  return { name, port, link: await openLink(port), agent };
}

interface AgentWords {
  readonly name: string;
  /** Its name in its configuration. */
  readonly configName: string;
  readonly configs: readonly string[];
  readonly logFile: string;
  readonly defines: Readonly<Record<string, string>>;
}

async function createWatchedAgent(
  runtime: Runtime,
  { tell }: FleetOptions,
  words: AgentWords,
): Promise<Agent> {
  const monitoringPort = await freePort(0);
  const defines = {
    ...words.defines,
    "flume.monitoring.type": "http",
    "flume.monitoring.port": String(monitoringPort),
  };
  return createAgent(runtime, {
    name: words.name,
    monitoringPort,
    logFile: words.logFile,
    args: [
      ...["-n", words.configName],
      ...words.configs.flatMap((config) => ["-f", config]),
      ...Object.entries(defines).map(([key, value]) => `-D${key}=${value}`),
    ],
    tell: (text) => tell(`${words.name}: ${text}`),
  });
}

function rowOf(agent: Agent, state: string): TierRow {
  if (agent.state !== "up") {
    const { held } = agent.facts;
    return {
      name: agent.name,
      inPerSecond: undefined,
      outPerSecond: undefined,
      held: held > 0 ? held : undefined,
      oldestSeconds: undefined,
      state,
    };
  }
  return {
    name: agent.name,
    ...ratesOf(agent.readings),
    held: agent.facts.held,
    oldestSeconds: agent.readings.at(-1)?.oldestSeconds,
    state,
  };
}

function stateOf({ agent, link }: Collector, active: Collector): string {
  if (agent.state !== "up") return agent.state;
  if (link.stalled) return "up, its link stalled";
  return agent === active.agent ? "up" : "up, standby";
}

/** The wanted port if nobody listens on it, else any that is free now. */
async function freePort(wanted: number): Promise<number> {
  const server = createServer();
  const listening = once(server, "listening");
  server.listen(wanted, "127.0.0.1");
  try {
    await listening;
  } catch {
    return await freePort(0);
  }
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}
