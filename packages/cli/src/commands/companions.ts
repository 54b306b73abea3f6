import type { Agent, AgentLog, ConfigurationRequest } from "@millrace/agent";
import type { ReloadSettings } from "../words/reload-settings.ts";
import { adminSocket } from "./admin-socket.ts";
import { handOverCompanion } from "./hand-over.ts";
import { watchConfiguration } from "./watch-configuration.ts";

/** A run of an agent, as what goes with it sees it. */
export interface AgentRun {
  readonly agent: Agent;
  /** The agent's name. */
  readonly name: string;
  readonly defines: ReadonlyMap<string, string>;
  readonly log: AgentLog;
  /** How the configuration is read; the same for each reading. */
  readonly request: ConfigurationRequest;
  readonly reloadSettings: ReloadSettings;
  /**
   * Reads the configuration again and takes over what is new. Resolves when that is done, with
   * whether what was read runs.
   */
  reload(): Promise<boolean>;
}

/**
 * What goes with an agent's run and is no part of the agent: a watch of its files, a socket for
 * operators, a hand-over of what is left. None of these rejects.
 */
export interface Companion {
  /** Before the agent starts. */
  begin?(): Promise<void>;
  /** When the agent is told to stop, before it drains. */
  stopping?(): void;
  /**
   * When the agent has stopped and its channels are closed; `agent.configuration` still says which
   * they were. A second signal ends the process meanwhile.
   */
  end?(): Promise<void>;
}

export type CreateCompanion = (run: AgentRun) => Companion;

/** In the order in which they begin, and end. */
export const companions: readonly CreateCompanion[] = [
  adminSocket,
  watchConfiguration,
  handOverCompanion,
];
