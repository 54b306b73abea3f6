import { systemRuntime } from "@millrace/core";
import type { AgentReport } from "./agent-report.ts";
import { assess } from "./assess.ts";
import type { AgentFinder } from "./find-agents.ts";
import { readAgent, type Reading } from "./read-agent.ts";

const readTimeoutMs = 5000;
const readsAtOnce = 32;

/** Reads agents again and again; each report is of the time since the reading before. */
export function createAgentWatch(finder: AgentFinder): () => Promise<AgentReport[]> {
  const last = new Map<string, Reading>();

  return async () => {
    const { clock } = systemRuntime;
    const waiting = [...finder.hosts];
    const reports: AgentReport[] = [];
    const work = async (): Promise<void> => {
      for (let host = waiting.shift(); host !== undefined; host = waiting.shift()) {
        const now = await readAgent(host, readTimeoutMs, () => clock.monotonic());
        reports.push(assess(last.get(now.address), now));
        last.set(now.address, now);
      }
    };
    await Promise.all(Array.from({ length: readsAtOnce }, work));
    return reports;
  };
}
