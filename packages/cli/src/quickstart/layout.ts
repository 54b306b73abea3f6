import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const agentNames = ["edge", "collector-1", "collector-2"] as const;
export type AgentName = (typeof agentNames)[number];
export const collectorNames = ["collector-1", "collector-2"] as const;
export type CollectorName = (typeof collectorNames)[number];

/** Where a run keeps its things: below `.millrace/quickstart` of the current directory. */
export interface Layout {
  readonly root: string;
  /** Copies of the sample logs, and what the writer writes. */
  readonly logs: string;
  readonly writerLog: string;
  /** An agent's channel and position file. */
  state(agent: AgentName): string;
  readonly positionFile: string;
  /** What the agent printed. */
  agentLog(agent: AgentName): string;
  /** The files a collector writes. */
  out(agent: CollectorName): string;
  /** Filegroups for the files that the user named. */
  readonly inputsConfig: string;
  /** Ids of the processes of the last run. */
  readonly processIds: string;
}

export function createLayout(directory: string): Layout {
  const root = join(directory, ".millrace", "quickstart");
  return {
    root,
    logs: join(root, "logs"),
    writerLog: join(root, "logs", "writer.log"),
    state: (agent) => join(root, agent),
    positionFile: join(root, "edge", "positions.json"),
    agentLog: (agent) => join(root, agent, "agent.log"),
    out: (agent) => join(root, "out", agent),
    inputsConfig: join(root, "edge", "inputs.conf"),
    processIds: join(root, "processes.json"),
  };
}

const projectRoot = new URL("../../../../", import.meta.url);
export const sampleLogs = fileURLToPath(new URL("examples/logs", projectRoot));
export const configFiles = {
  edge: fileURLToPath(new URL("deploy/agents/quickstart/edge.conf", projectRoot)),
  collector: fileURLToPath(new URL("deploy/agents/quickstart/collector.conf", projectRoot)),
};

/** Removes what the last run left and makes the directories of this one. */
export async function prepareLayout(layout: Layout): Promise<void> {
  await rm(layout.root, { recursive: true, force: true });
  for (const path of [
    layout.logs,
    ...agentNames.map((agent) => layout.state(agent)),
    ...collectorNames.map((agent) => layout.out(agent)),
  ]) {
    await mkdir(path, { recursive: true });
  }
}
