import type { Agent, AgentLog, LoadedConfiguration } from "@millrace/agent";
import { tellProblems } from "./tell-problems.ts";

/**
 * What SIGHUP calls: reads the configuration again and hands it to the agent when it may run. A bad
 * one changes nothing, and the log has all of its problems. Asked for again while it reads, it reads
 * once more: the files may have changed behind it.
 */
export function createReload(
  load: () => Promise<LoadedConfiguration>,
  agent: Pick<Agent, "reload">,
  log: AgentLog,
  name: string,
): () => Promise<void> {
  const own = log.of(name);
  let reading: Promise<void> | undefined;
  let again = false;

  const reload = async (): Promise<void> => {
    const { configuration, problems, startable } = await load();
    tellProblems(
      problems.filter(({ severity }) => severity !== "note"),
      log.of("config"),
    );
    if (startable) await agent.reload(configuration);
    else own.error("the new configuration has errors: the agent goes on with the one it has");
  };
  const run = async (): Promise<void> => {
    do {
      again = false;
      try {
        await reload();
      } catch (error) {
        own.error("the configuration could not be read again; the agent goes on as it is", {
          error,
        });
      }
    } while (again);
    reading = undefined;
  };
  return () => {
    if (reading === undefined) reading = run();
    else again = true;
    return reading;
  };
}
