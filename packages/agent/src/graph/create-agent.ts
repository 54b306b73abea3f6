import { MillraceError, settledBy, userHome } from "@millrace/core";
import type { AgentConfiguration } from "../config/agent-configuration.ts";
import { createEventLoopLag, declareEventLoopLag } from "../monitoring/event-loop-lag.ts";
import { createMetricsRegistry } from "../monitoring/metrics-registry.ts";
import { createMonitoringServer, type Readiness } from "../monitoring/monitoring-server.ts";
import { applyReload, type ReloadOutcome } from "../reload/apply-reload.ts";
import { declareConfigMetrics } from "../reload/config-metrics.ts";
import { createReloader } from "../reload/create-reloader.ts";
import type { Agent, AgentOptions, AgentState } from "./agent.ts";
import { counterGroupsOf, createGraph, type Graph, troubleOf } from "./create-graph.ts";
import { createFlumeCounters } from "./flume-counters.ts";
import type { PartOptions } from "./part.ts";
import { reportFailure, todoOf } from "./report-failure.ts";
import { failureOf, type Runnable } from "./runnable.ts";
import { abortedError, createStarter } from "./starter.ts";
import { createStopper, graceMs } from "./stop-parts.ts";

/** How long what has started is given to stop when the start as a whole fails. */
const undoMs = 10_000;
const reloadDrainMsDefault = 30_000;

export function createAgent(options: AgentOptions): Agent {
  const { configuration, mode, runtime, labels = {}, home = userHome() } = options;
  const { systemProperties = new Map<string, string>() } = options;
  const { agent } = configuration;
  const { clock } = runtime;
  /** What runs, with what reloads have changed. */
  let current = configuration;
  const log = options.log(agent);
  const metrics = createMetricsRegistry();
  const starter = createStarter(clock, log);
  const stopper = createStopper(clock, log);
  const own = metrics.withLabels({ agent, ...labels, component: agent, type: "agent" });
  const lag = createEventLoopLag(clock);
  declareEventLoopLag(own, lag);
  const configMetrics = declareConfigMetrics(own, () => current.generation);
  let state: AgentState = "idle";
  let graph: Graph = { channels: new Map(), sinks: new Map(), sources: new Map() };
  let starting: Promise<void> | undefined;
  let stopping: Promise<void> | undefined;
  let monitoringPort: number | undefined;
  let fatal: MillraceError | undefined;
  let allStarted = false;
  let tellFailed: (error: MillraceError) => void = () => {};
  const failed = new Promise<MillraceError>((resolve) => (tellFailed = resolve));

  const readiness = (): Readiness => {
    if (fatal !== undefined) return { ready: false, reason: `failed: ${fatal.message}` };
    const trouble = troubleOf(graph);
    if (trouble !== undefined) {
      const where = state === "starting" ? state : "in trouble";
      return { ready: false, reason: `${where}: ${trouble.message}` };
    }
    const [waiting] = starter.notStarted;
    if (state === "running" && waiting === undefined) return { ready: true, reason: "ready" };
    const why = waiting === undefined ? "" : `: ${waiting[0]} ${waiting[1]}`;
    return { ready: false, reason: state === "running" ? `not all started${why}` : state + why };
  };
  /** Asked wherever it may cease to be so, it stays true once it was. */
  const started = (): boolean =>
    (allStarted ||= state === "running" && starter.notStarted.size === 0);
  const counterGroups = () => counterGroupsOf(graph);
  const server =
    options.monitoring &&
    createMonitoringServer(
      options.monitoring,
      { agent, metrics, counterGroups, readiness, started },
      options.log("monitoring"),
    );

  const onFatal = (component: string, error: MillraceError): void => {
    if (fatal !== undefined) return;
    fatal = new MillraceError(error.code, `${component}: ${error.message}`, { cause: error });
    log.error(`the agent stops: ${fatal.code} ${fatal.message}`, { todo: todoOf(fatal) });
    tellFailed(fatal);
  };

  const partOptions: PartOptions = {
    ...{ agent, runtime, metrics, labels, home, systemProperties, onFatal },
    log: options.log,
    drainsDurable: options.drainsDurable ?? false,
    flumeCounters: createFlumeCounters(),
    running: () => current,
  };

  async function startAll(runnables: Iterable<Runnable>): Promise<void> {
    if (starter.aborted) throw abortedError();
    const start = mode === "strict" ? starter.startOnce : starter.startAgain;
    const results = await Promise.allSettled([...runnables].map(start));
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }

  async function startMonitoring(): Promise<void> {
    if (server !== undefined) lag.start();
    try {
      monitoringPort = await server?.start();
      if (monitoringPort !== undefined) log.info("monitoring listens", { port: monitoringPort });
    } catch (thrown) {
      const failure = failureOf({ title: "monitoring", name: "monitoring" }, thrown);
      const error = reportFailure(failure, "did not start", log);
      if (mode === "strict") throw error;
    }
  }

  async function stopMonitoring(): Promise<void> {
    await server?.stop();
    lag.stop();
  }

  async function startGraph(): Promise<void> {
    await startMonitoring();
    const made = await createGraph(partOptions, configuration);
    graph = made.graph;
    const errors = made.failures.map((one) => reportFailure(one, "could not be made", log));
    if (mode === "strict" && errors[0] !== undefined) throw errors[0];
    const { channels, sinks, sources } = graph;
    await startAll(channels.values());
    if (mode === "strict") {
      await startAll(sinks.values());
      await startAll(sources.values());
    } else {
      // As under Flume's supervisor, one that cannot start keeps no other from running.
      for (const runnable of [...sinks.values(), ...sources.values()]) {
        void starter.startFirst(runnable);
      }
    }
  }

  async function start(): Promise<void> {
    state = "starting";
    try {
      await startGraph();
      if (starter.aborted) throw abortedError();
      state = "running";
      const { sources, channels, sinks } = graph;
      const counts = { sources: sources.size, channels: channels.size, sinks: sinks.size };
      log.info("the agent has started", counts);
    } catch (error) {
      if (starter.aborted) throw abortedError();
      state = "failed";
      starter.abort();
      const undo = new AbortController();
      const timer = clock.setTimer(undoMs, () => undo.abort());
      await stopper.stopGraph(graph, undo.signal);
      timer.cancel();
      await stopMonitoring();
      throw error;
    }
  }

  const { reloadDrainMs = reloadDrainMsDefault } = options;
  const reloader = createReloader({
    ...{ clock, log, drainMs: reloadDrainMs, cutShort: starter.cutShort },
    async apply(wanted, deadline) {
      await starting?.catch(() => {});
      if (state !== "running") {
        log.warn(`the configuration is not read again: the agent is ${state}`);
        return "not-running";
      }
      started();
      const takeOver = (next: AgentConfiguration): void => {
        current = next;
      };
      const tools = {
        ...{ graph, options: partOptions, starter, stopper, clock, log, takeOver },
        discarded: configMetrics.discarded,
        undoMs: Math.min(undoMs, reloadDrainMs),
      };
      const outcome = await applyReload(tools, wanted, deadline);
      if (isDone(outcome)) configMetrics.succeeded();
      else configMetrics.failed();
      return outcome;
    },
  });

  async function stop(deadline: AbortSignal): Promise<void> {
    started();
    const running = state === "starting" || state === "running";
    // A reload that waits for the start ends with it.
    if (state === "starting") starter.abort();
    state = "draining";
    if (running) log.info("the agent drains: sources stop, sinks deliver what is left");
    await reloader.finish(deadline);
    starter.abort();
    const startEnded = (starting ?? Promise.resolve()).catch(() => {});
    await settledBy(
      startEnded.then(() => starter.settled()),
      deadline,
      clock,
      graceMs,
    );
    await stopper.stopGraph(graph, deadline);
    starter.notStarted.clear();
    state = "stopped";
    if (running) log.info("the agent has stopped");
    await stopMonitoring();
  }

  return {
    metrics,
    failed,
    counterGroups,
    readiness,
    sinkHealth: () => new Map([...graph.sinks.values()].flatMap(({ health }) => [...health])),
    reload: (wanted) => reloader.reload(wanted),
    rejectReload: () => configMetrics.failed(),
    get state() {
      return state;
    },
    get configuration() {
      return current;
    },
    get monitoringPort() {
      return monitoringPort;
    },
    start: () => (starting ??= stopping === undefined ? start() : Promise.reject(abortedError())),
    stop: (deadline) => (stopping ??= stop(deadline)),
  };
}

function isDone(outcome: ReloadOutcome): boolean {
  return outcome === "applied" || outcome === "unchanged";
}
