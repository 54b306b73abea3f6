/** How bad it is; the worst agent stands first. */
export const severities = ["ok", "attention", "stuck", "full", "not ready", "unreachable"] as const;
export type Severity = (typeof severities)[number];

export interface ChannelReport {
  readonly name: string;
  readonly type: string;
  readonly events: number;
  readonly bytes: number | undefined;
  readonly capacityBytes: number | undefined;
  readonly oldestSeconds: number | undefined;
  /** At the rate between the two readings. */
  readonly fullInSeconds: number | undefined;
}

/** What an operator wants to know of one agent. Rates are between two readings. */
export interface AgentReport {
  readonly address: string;
  readonly agent: string | undefined;
  readonly role: string | undefined;
  readonly severity: Severity;
  readonly channels: readonly ChannelReport[];
  readonly inPerSecond: number | undefined;
  readonly outPerSecond: number | undefined;
  /** A line each, the worst first. */
  readonly why: readonly string[];
  readonly generation: number | undefined;
}

export const isFull = ({ bytes, capacityBytes }: ChannelReport): boolean =>
  bytes !== undefined && capacityBytes !== undefined && bytes >= capacityBytes * 0.95;

/** Agents that need somebody first, then those that hold the oldest events. */
export function worstFirst(reports: readonly AgentReport[]): AgentReport[] {
  const rank = ({ severity }: AgentReport): number => severities.indexOf(severity);
  const oldest = ({ channels }: AgentReport): number =>
    Math.max(0, ...channels.map(({ oldestSeconds = 0 }) => oldestSeconds));
  return [...reports].sort(
    (a, b) => rank(b) - rank(a) || oldest(b) - oldest(a) || a.address.localeCompare(b.address),
  );
}

/** Whether agents of one role run different configurations: `role: count`, for those that do. */
export function mixedRoles(reports: readonly AgentReport[]): string[] {
  const roles = new Map<string, Set<number>>();
  for (const { agent = "", role = agent, generation } of reports) {
    if (generation === undefined) continue;
    roles.set(role, (roles.get(role) ?? new Set()).add(generation));
  }
  return [...roles]
    .filter(([, generations]) => generations.size > 1)
    .map(([role, { size }]) => `${role}: ${size}`);
}
