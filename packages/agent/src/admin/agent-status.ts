/** What the admin socket says of a running agent. */
export interface AgentStatus {
  readonly agent: string;
  readonly role?: string;
  readonly version: string;
  readonly pid: number;
  readonly uptimeSeconds: number;
  readonly state: string;
  readonly ready: boolean;
  /** What `/readyz` says. */
  readonly reason: string;
  readonly configurationGeneration: number;
  /** What each path guarantees, as `check` prints it. */
  readonly paths: readonly string[];
  readonly sources: readonly { readonly name: string; readonly type: string }[];
  readonly channels: readonly ChannelStatus[];
  readonly sinks: readonly SinkStatus[];
}

export interface ChannelStatus {
  readonly name: string;
  readonly type: string;
  readonly events: number;
  readonly bytes?: number;
  readonly capacityBytes?: number;
  /** Of the oldest event; absent when it holds none. */
  readonly oldestAgeSeconds?: number;
}

export interface SinkStatus {
  readonly name: string;
  readonly type: string;
  readonly channel: string;
  readonly group?: string;
  /** Why its last delivery failed; absent when it succeeded, or none was made. */
  readonly lastError?: SinkError;
}

export interface SinkError {
  readonly code: string;
  readonly message: string;
  /** When it began to fail, in milliseconds since 1970. */
  readonly sinceMs: number;
}
