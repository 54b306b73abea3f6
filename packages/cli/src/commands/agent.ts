import {
  type AgentConfiguration,
  type AgentLog,
  createAgent,
  createAgentLog,
  describePaths,
  formatPath,
  loadConfiguration,
  type LoadedConfiguration,
  readLogSettings,
  readMonitoringSettings,
} from "@millrace/agent";
import { type Log, systemRuntime } from "@millrace/core";
import { type ExitCode, exitCode } from "../exit-code.ts";
import { fitGarbageCollector } from "../garbage-collector.ts";
import { help } from "../help.ts";
import type { Command } from "../program.ts";
import { type AgentWords, parseAgentWords } from "../words/agent-options.ts";
import { readDrainTime } from "../words/drain-time.ts";
import { gatherDefines } from "../words/gather-defines.ts";
import { readReloadSettings } from "../words/reload-settings.ts";
import { checkConfiguration } from "./check.ts";
import { loadRegistry } from "./load-registry.ts";
import { type AgentRun, companions } from "./companions.ts";
import { createReload } from "./reload.ts";
import { listenToSignals, outliveHangUps } from "./signals.ts";
import { tellProblems } from "./tell-problems.ts";

/** Runs an agent until it is told to stop, does not start, or meets a fatal error. */
export const agentCommand: Command = async (words, program, output) => {
  const asked = parseAgentWords(words, program);
  if (asked === "help") {
    output.out(help(program));
    return exitCode.ok;
  }
  if ("problem" in asked) {
    output.err(`${program} agent: ${asked.problem}\n\n${help(program)}`);
    return exitCode.usage;
  }
  const { files, clock } = systemRuntime;
  const gathered = await gatherDefines(words, asked.confDirectory, process.env, files);
  const { defines } = gathered;
  if (asked.dryrun) return checkConfiguration(asked, gathered, output);
  outliveHangUps();
  fitGarbageCollector();

  const { level, note } = readLogSettings(defines);
  const log = createAgentLog({ level, clock });
  endOnOurMistakes(log);
  for (const text of [...asked.notes, ...gathered.notes, ...(note === undefined ? [] : [note])]) {
    log.of(program).info(text);
  }
  const code = await runAgent(asked, defines, log);
  await log.close();
  // A component that left something open must not keep a stopped agent's process.
  process.exit(code);
};

async function runAgent(
  asked: AgentWords,
  defines: ReadonlyMap<string, string>,
  log: AgentLog,
): Promise<ExitCode> {
  const { agent: name, mode, files, pluginFolders } = asked;
  const own = log.of(name);
  const registry = await loadRegistry();
  const request = { files, agent: name, registry, mode, defines, pluginFolders };
  const loaded = await loadConfiguration(request);
  tellConfiguration(loaded, log);
  const { settings: monitoring, problem } = readMonitoringSettings(defines);
  if (problem !== undefined) log.of("config").error(problem);
  if (!loaded.startable || (problem !== undefined && mode === "strict")) {
    own.error("the agent does not start: correct the configuration first");
    return exitCode.configuration;
  }
  const role = defines.get("millrace.role");
  const home = defines.get("user.home");
  const { drainMs: drainWithinMs, note: drainNote } = readDrainTime(defines);
  if (drainNote !== undefined) log.of("config").warn(drainNote);
  const agent = createAgent({
    configuration: loaded.configuration,
    mode,
    runtime: systemRuntime,
    log: (component) => log.of(component),
    systemProperties: defines,
    ...(monitoring === undefined ? {} : { monitoring }),
    ...(role === undefined ? {} : { labels: { role } }),
    ...(home === undefined ? {} : { home }),
    reloadDrainMs: drainWithinMs,
    // Who hands over what is left leaves first what its sinks can take.
    drainsDurable: defines.has("millrace.handOver"),
  });
  const reload = createReload(
    () => loadConfiguration(request),
    agent,
    log,
    name,
    (taken) => tellPaths(taken, log.of("config")),
  );
  const { settings: reloadSettings, note } = readReloadSettings(asked, defines);
  if (note !== undefined) log.of("config").warn(note);
  const run = { agent, name, defines, log, request, reloadSettings, reload };
  return runUntilStopped(run, drainWithinMs, own);
}

function tellConfiguration(
  { configuration, problems, dropped }: LoadedConfiguration,
  log: AgentLog,
) {
  const own = log.of("config");
  tellProblems(problems, own);
  if (dropped.length > 0) {
    own.error(`left out: ${dropped.map(({ kind, name }) => `${kind} ${name}`).join(", ")}`);
  }
  tellPaths(configuration, own);
}

function tellPaths(configuration: AgentConfiguration, own: Log): void {
  for (const path of describePaths(configuration)) own.info(formatPath(path));
}

async function runUntilStopped(run: AgentRun, drainWithinMs: number, own: Log): Promise<ExitCode> {
  const { agent } = run;
  const signals = listenToSignals(() => void run.reload());
  const beside = companions.map((create) => create(run));
  // Timers of ours do not keep a process alive, and an agent may have nothing else for a while.
  const alive = setInterval(() => {}, 1 << 30);
  for (const companion of beside) await companion.begin?.();
  const code = await Promise.race([
    signals.asked.then(() => exitCode.ok),
    agent.failed.then(() => exitCode.fatal),
    agent.start().then(
      () => new Promise<never>(() => {}),
      () => exitCode.start,
    ),
  ]);
  for (const companion of beside) companion.stopping?.();
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), drainWithinMs);
  await agent.stop(deadline.signal);
  clearTimeout(timer);
  for (const companion of beside) await companion.end?.();
  clearInterval(alive);
  signals.release();
  if (code === exitCode.start) own.error("the agent did not start");
  return code;
}

/**
 * An error that nobody caught is a mistake of ours: what runs on may be half done. What a durable
 * channel holds is safe, and the next start goes on from there.
 */
function endOnOurMistakes(log: AgentLog): void {
  const end = (error: unknown): void => {
    log.of("millrace").error("a mistake in Millrace ends the agent; please report it", { error });
    void log.close().finally(() => process.exit(exitCode.fatal));
  };
  // Whoever read the log may go away; the agent goes on.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  process.on("uncaughtException", end);
  process.on("unhandledRejection", end);
}
