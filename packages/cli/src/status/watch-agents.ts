import { type Clock, systemRuntime } from "@millrace/core";
import type { AgentReport } from "./agent-report.ts";
import { assess, unreachable } from "./assess.ts";
import type { AgentFinder } from "./find-agents.ts";
import { readAgent, type Reading } from "./read-agent.ts";

const readTimeoutMs = 5000;
/** So that a hundred agents that are down make the others wait for one deadline, not for many. */
const readsAtOnce = 256;

/**
 * Reads agents again and again; each report is of the time since the reading before. When `giveUp`
 * aborts, what was not read by then is unreachable.
 */
export function createAgentWatch(
  finder: Pick<AgentFinder, "hosts" | "missing">,
  giveUp?: AbortSignal,
  clock: Clock = systemRuntime.clock,
): () => Promise<AgentReport[]> {
  let last: ReadonlyMap<string, Reading> = new Map();

  return async () => {
    const waiting = [...finder.hosts];
    const reports = finder.missing.map(({ address, why }) => unreachable(address, why));
    const read = new Map<string, Reading>();
    const work = async (): Promise<void> => {
      for (let host = waiting.shift(); host !== undefined; host = waiting.shift()) {
        const now = await readAgent(host, readTimeoutMs, () => clock.monotonic(), giveUp);
        reports.push(assess(last.get(now.address), now));
        read.set(now.address, now);
      }
    };
    await Promise.all(Array.from({ length: Math.min(readsAtOnce, waiting.length) }, work));
    last = read;
    return reports;
  };
}
