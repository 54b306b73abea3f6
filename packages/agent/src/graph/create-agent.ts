import {
  type CounterGroup,
  errorTable,
  type Labels,
  type Log,
  MillraceError,
  type Runtime,
  settledBy,
  sleep,
} from "@millrace/core";
import { setMaxListeners } from "node:events";
import { homedir } from "node:os";
import type { AgentConfiguration } from "../config/agent-configuration.ts";
import { createMetricsRegistry, type MetricsRegistry } from "../monitoring/metrics-registry.ts";
import type { MonitoringSettings } from "../monitoring/monitoring-settings.ts";
import { createMonitoringServer, type Readiness } from "../monitoring/monitoring-server.ts";
import { applyConfiguration, type ReloadOutcome } from "../reload/apply-configuration.ts";
import { createGraph, type Graph } from "./create-graph.ts";
import { type Failure, failureOf, type Runnable } from "./runnable.ts";

export interface AgentOptions {
  readonly configuration: AgentConfiguration;
  /**
   * `strict`: what does not start stops the whole start. `lenient`, as Flume: it is tried again
   * every three seconds; sources and sinks do not wait for each other, but both for the channels.
   */
  readonly mode: "strict" | "lenient";
  readonly runtime: Runtime;
  /** The log of a component, by its name; the agent's own lines come under the agent's. */
  readonly log: (component: string) => Log;
  /** Served while the agent starts, runs and drains. */
  readonly monitoring?: MonitoringSettings;
  /** Labels of every metric, such as the agent's role. */
  readonly labels?: Labels;
  /** What `~` means; the user's home directory when not given. */
  readonly home?: string;
  /** The -D words, for what is set for all components at once; none when not given. */
  readonly systemProperties?: ReadonlyMap<string, string>;
}

export type AgentState = "idle" | "starting" | "running" | "draining" | "stopped" | "failed";

/** A running configuration. It is started once and stopped once. */
export interface Agent {
  readonly state: AgentState;
  /** What runs, or ran last: with what reloads have changed. */
  readonly configuration: AgentConfiguration;
  /** Where the monitoring port listens, once it does. */
  readonly monitoringPort: number | undefined;
  readonly metrics: MetricsRegistry;
  counterGroups(): readonly CounterGroup[];
  readiness(): Readiness;
  /**
   * Channels, then sinks, then sources. Rejects with the first error when a component does not start
   * (strict), after everything that had started is stopped again.
   */
  start(): Promise<void>;
  /**
   * Sources stop taking; sinks deliver until the channels that are not durable are empty; then sinks
   * and channels stop. What is not done at the deadline is given up. Never rejects.
   */
  stop(deadline: AbortSignal): Promise<void>;
  /**
   * Takes over another configuration that is whole and startable, while it runs: new limits of
   * channels, when nothing else is new; else nothing. The log says what came of it.
   */
  reload(wanted: AgentConfiguration): Promise<ReloadOutcome>;
  /** Resolves at the first error that makes it wrong to go on. The caller then stops the agent. */
  readonly failed: Promise<MillraceError>;
}

/** Flume's supervisor looks every three seconds. */
const restartMs = 3000;
/** How long what has started is given to stop when the start as a whole fails. */
const undoMs = 10_000;
/** How long a component may take beyond the deadline before it is left behind. */
const graceMs = 2000;

export function createAgent(options: AgentOptions): Agent {
  const { configuration, mode, runtime, labels = {}, home = homedir() } = options;
  const { systemProperties = new Map<string, string>() } = options;
  const { clock } = runtime;
  /** What runs, with what reloads have changed. */
  let current = configuration;
  const log = options.log(configuration.agent);
  const metrics = createMetricsRegistry();
  const startAborted = new AbortController();
  // Every component listens, and there may be many.
  setMaxListeners(0, startAborted.signal);
  const notStarted = new Map<string, string>();
  let state: AgentState = "idle";
  let graph: Graph | undefined;
  let starting: Promise<void> | undefined;
  /** Starts that the agent's own does not wait for. They never reject. */
  const trying: Promise<void>[] = [];
  let stopping: Promise<void> | undefined;
  let monitoringPort: number | undefined;
  let fatal: MillraceError | undefined;
  let tellFailed: (error: MillraceError) => void = () => {};
  const failed = new Promise<MillraceError>((resolve) => (tellFailed = resolve));

  const readiness = (): Readiness => {
    if (fatal !== undefined) return { ready: false, reason: `failed: ${fatal.message}` };
    const trouble = graph?.trouble();
    if (trouble !== undefined) return { ready: false, reason: `in trouble: ${trouble.message}` };
    const [waiting] = notStarted;
    if (state === "running" && waiting === undefined) return { ready: true, reason: "ready" };
    const why = waiting === undefined ? "" : `: ${waiting[0]} ${waiting[1]}`;
    return { ready: false, reason: state === "running" ? `not all started${why}` : state + why };
  };
  const counterGroups = () => graph?.counterGroups ?? [];
  const server =
    options.monitoring &&
    createMonitoringServer(
      options.monitoring,
      { agent: configuration.agent, metrics, counterGroups, readiness },
      options.log("monitoring"),
    );

  const onFatal = (component: string, error: MillraceError): void => {
    if (fatal !== undefined) return;
    fatal = new MillraceError(error.code, `${component}: ${error.message}`, { cause: error });
    log.error(`the agent stops: ${fatal.code} ${fatal.message}`, { todo: todoOf(fatal) });
    tellFailed(fatal);
  };

  const report = ({ title, error }: Failure, what: string): MillraceError => {
    log.error(`${title} ${what}: ${error.code} ${error.message}`, { todo: todoOf(error), error });
    return new MillraceError(error.code, `${title} ${what}: ${error.message}`, { cause: error });
  };

  /** Starts one component; in lenient mode as often as it takes, until the start is given up. */
  async function startOne(runnable: Runnable): Promise<void> {
    const { title, lifecycle } = runnable;
    notStarted.set(title, "is starting");
    for (;;) {
      try {
        await lifecycle.start(startAborted.signal);
        notStarted.delete(title);
        log.debug(`${title} has started`);
        return;
      } catch (thrown) {
        if (startAborted.signal.aborted) throw thrown;
        const failure = failureOf(runnable, thrown);
        const error = report(failure, "did not start");
        if (mode === "strict") throw error;
        notStarted.set(title, `did not start: ${failure.error.code} ${failure.error.message}`);
      }
      await lifecycle.stop(startAborted.signal);
      await sleep(clock, restartMs, startAborted.signal);
      if (startAborted.signal.aborted) throw abortedError();
    }
  }

  async function startAll(runnables: readonly Runnable[]): Promise<void> {
    if (startAborted.signal.aborted) throw abortedError();
    const results = await Promise.allSettled(runnables.map(startOne));
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }

  async function startMonitoring(): Promise<void> {
    try {
      monitoringPort = await server?.start();
      if (monitoringPort !== undefined) log.info("monitoring listens", { port: monitoringPort });
    } catch (thrown) {
      const failure = failureOf({ title: "monitoring", name: "monitoring" }, thrown);
      const error = report(failure, "did not start");
      if (mode === "strict") throw error;
    }
  }

  async function startGraph(): Promise<void> {
    await startMonitoring();
    const made = await createGraph({
      ...{ agent: configuration.agent, runtime, metrics, labels, home },
      get configuration() {
        return current;
      },
      systemProperties,
      log: options.log,
      onFatal,
    });
    graph = made;
    const errors = made.failures.map((failure) => report(failure, "could not be made"));
    if (mode === "strict" && errors[0] !== undefined) throw errors[0];
    await startAll(made.channels);
    if (mode === "strict") {
      await startAll(made.sinks);
      await startAll(made.sources);
    } else {
      // As under Flume's supervisor, one that cannot start keeps no other from running.
      for (const runnable of [...made.sinks, ...made.sources]) {
        trying.push(startOne(runnable).catch(() => {}));
      }
    }
  }

  async function start(): Promise<void> {
    state = "starting";
    try {
      await startGraph();
      if (startAborted.signal.aborted) throw abortedError();
      state = "running";
      log.info("the agent has started", counts(graph));
    } catch (error) {
      if (startAborted.signal.aborted) throw abortedError();
      state = "failed";
      startAborted.abort();
      const undo = new AbortController();
      const timer = clock.setTimer(undoMs, () => undo.abort());
      await stopGraph(undo.signal);
      timer.cancel();
      await server?.stop();
      throw error;
    }
  }

  /** Runs a step for each, all at once; names those that have not ended soon after the deadline. */
  async function each<R extends Runnable>(
    runnables: readonly R[],
    deadline: AbortSignal,
    step: (runnable: R) => Promise<void>,
  ): Promise<void> {
    const one = async (runnable: R): Promise<void> => {
      const work = step(runnable).catch((error: unknown) =>
        log.error(`${runnable.title} did not stop well`, { error }),
      );
      if (await settledBy(work, deadline, clock, graceMs)) return;
      log.error(`${runnable.title} did not stop by the deadline and is left behind`);
    };
    await Promise.all(runnables.map(one));
  }

  async function stopGraph(deadline: AbortSignal): Promise<void> {
    if (graph === undefined) return;
    setMaxListeners(0, deadline);
    const { sources, sinks, channels } = graph;
    await each(sources, deadline, ({ lifecycle }) => lifecycle.stop(deadline));
    await each(sinks, deadline, (sink) => sink.drain(deadline));
    await each(sinks, deadline, ({ lifecycle }) => lifecycle.stop(deadline));
    await each(channels, deadline, ({ lifecycle }) => lifecycle.stop(deadline));
  }

  async function stop(deadline: AbortSignal): Promise<void> {
    const running = state === "starting" || state === "running";
    state = "draining";
    if (running) log.info("the agent drains: sources stop, sinks deliver what is left");
    startAborted.abort();
    const started = (starting ?? Promise.resolve()).catch(() => {});
    await settledBy(
      started.then(() => Promise.all(trying)),
      deadline,
      clock,
      graceMs,
    );
    await stopGraph(deadline);
    notStarted.clear();
    state = "stopped";
    if (running) log.info("the agent has stopped");
    await server?.stop();
  }

  async function reload(wanted: AgentConfiguration): Promise<ReloadOutcome> {
    if (state !== "running" || graph === undefined) {
      log.warn(`the configuration is not read again: the agent is ${state}`);
      return "not-running";
    }
    const outcome = applyConfiguration(current, wanted, graph.channelsByName, log);
    if (outcome === "applied") current = wanted;
    return outcome;
  }

  return {
    metrics,
    failed,
    counterGroups,
    readiness,
    reload,
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

function abortedError(): MillraceError {
  return new MillraceError("START_ABORTED", "the agent was told to stop while it started");
}

function todoOf({ code }: MillraceError): string {
  return errorTable[code].todo;
}

function counts(graph: Graph | undefined): Record<string, number> {
  const { sources = [], channels = [], sinks = [] } = graph ?? {};
  return { sources: sources.length, channels: channels.length, sinks: sinks.length };
}
