/** What is known of one agent when a line is missing, from its last metrics. */
export interface AgentFacts {
  readonly name: string;
  readonly running: boolean;
  /** Whether it ever ended before its time: its counters are then of its last life only. */
  readonly killed: boolean;
  readonly accepted: number;
  readonly delivered: number;
  readonly held: number;
}

/** Where on its way a line that has not arrived must be looked for, as words behind "missing: ". */
export function locateMissing(
  acknowledged: boolean,
  edge: AgentFacts,
  collectors: readonly AgentFacts[],
): string {
  if (!acknowledged) return "the edge has not read it (source logs)";
  if (edge.held > 0) return `in the edge's channel, which holds ${count(edge.held)}`;
  for (const { name, running, held } of collectors) {
    if (!running) return `in ${name}, which is down and held ${count(held)} when last asked`;
    if (held > 0) return `in ${name}'s channel, which holds ${count(held)}`;
  }
  const accepted = collectors.reduce((sum, collector) => sum + collector.accepted, 0);
  const exact = !edge.killed && collectors.every(({ killed }) => !killed);
  if (exact && edge.delivered > accepted) {
    return (
      `on the link from the edge to the collectors: the edge was told OK for ` +
      `${count(edge.delivered)}, the collectors accepted ${count(accepted)}`
    );
  }
  return "behind the collectors' channels: file_roll, or its files were changed";
}

function count(events: number): string {
  return `${events.toLocaleString("en-US")} event${events === 1 ? "" : "s"}`;
}
