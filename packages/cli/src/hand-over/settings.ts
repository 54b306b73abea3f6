import { hostAddressProblem } from "@millrace/rpc/discovery";

export interface HandOverSettings {
  /** Addresses of the siblings, as a sink's hosts may be written. */
  readonly hosts: readonly string[];
  readonly withinMs: number;
  /** Properties of the RPC client, before those taken from the agent's own source. */
  readonly properties: ReadonlyMap<string, string>;
}

/** What came of the -D words: neither of them where no hand-over is asked for. */
export interface HandOverWords {
  readonly settings?: HandOverSettings;
  /** Why the words mean nothing. */
  readonly problem?: string;
}

const prefix = "millrace.handOver.";
const withinSecondsDefault = 30;

/** Reads `-Dmillrace.handOver` and the words that belong to it. */
export function readHandOverSettings(defines: ReadonlyMap<string, string>): HandOverWords {
  const hosts = (defines.get("millrace.handOver") ?? "").split(/[\s,]+/).filter(Boolean);
  if (hosts.length === 0) return {};
  for (const host of hosts) {
    const problem = hostAddressProblem(host);
    if (problem !== undefined) return { problem: `millrace.handOver: ${problem}` };
  }
  const seconds = defines.get("millrace.handOverSeconds") ?? String(withinSecondsDefault);
  if (!/^\d{1,6}$/.test(seconds)) {
    return { problem: `millrace.handOverSeconds=${seconds} is not a whole number` };
  }
  const properties = new Map<string, string>();
  for (const [name, value] of defines) {
    if (name.startsWith(prefix)) properties.set(name.slice(prefix.length), value);
  }
  return { settings: { hosts, withinMs: Number(seconds) * 1000, properties } };
}
