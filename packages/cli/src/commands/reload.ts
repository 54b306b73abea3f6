import type { Agent, AgentConfiguration, AgentLog, LoadedConfiguration } from "@millrace/agent";
import { tellProblems } from "./tell-problems.ts";

/**
 * What SIGHUP and the watch of the files call: reads the configuration again and hands it to the
 * agent when it may run. A bad one changes nothing, and the log has all of its problems. Asked for
 * again while it is at it, it reads once more: the files may have changed behind it. `taken` is told
 * of each configuration that runs from then on. Resolves with whether what was read last is what runs.
 */
export function createReload(
  load: () => Promise<LoadedConfiguration>,
  agent: Pick<Agent, "configuration" | "reload" | "rejectReload">,
  log: AgentLog,
  name: string,
  taken: (configuration: AgentConfiguration) => void = () => {},
): () => Promise<boolean> {
  const own = log.of(name);
  let reading: Promise<boolean> | undefined;
  let again = false;

  const reload = async (): Promise<boolean> => {
    const loaded = await load();
    tellProblems(
      loaded.problems.filter(({ severity }) => severity !== "note"),
      log.of("config"),
    );
    const why = loaded.startable ? whatItWouldBreak(loaded, agent.configuration) : "";
    if (why === undefined) {
      const outcome = await agent.reload(loaded.configuration);
      if (outcome === "applied") taken(loaded.configuration);
      return outcome === "applied" || outcome === "unchanged";
    }
    agent.rejectReload();
    own.error(`the new configuration has errors${why}: the agent goes on with the one it has`);
    return false;
  };
  const run = async (): Promise<boolean> => {
    let runs = false;
    do {
      again = false;
      try {
        runs = await reload();
      } catch (error) {
        runs = false;
        agent.rejectReload();
        own.error("the configuration could not be read again; the agent goes on as it is", {
          error,
        });
      }
    } while (again);
    reading = undefined;
    return runs;
  };
  return () => {
    if (reading === undefined) reading = run();
    else again = true;
    return reading;
  };
}

/**
 * A lenient agent leaves broken parts out at its start; what runs is not ended by an error of the
 * new configuration.
 */
function whatItWouldBreak(
  { dropped }: LoadedConfiguration,
  { channels, sources, sinks, groups }: Agent["configuration"],
): string | undefined {
  const running = { channel: channels, source: sources, sink: sinks, "sink group": groups };
  const broken = dropped.filter(({ kind, name }) => running[kind].has(name));
  if (broken.length === 0) return undefined;
  return ` and would end ${broken.map(({ kind, name }) => `${kind} ${name}`).join(", ")}`;
}
