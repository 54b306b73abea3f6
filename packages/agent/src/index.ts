export type * from "./config/agent-configuration.ts";
export { listAgents } from "./config/list-agents.ts";
export { type ConfigurationRequest, loadConfiguration } from "./config/load-configuration.ts";
export { formatProblem, type Problem } from "./config/problem.ts";
export { didYouMean } from "./config/nearest-name.ts";
export { describePaths, formatPath, type PathGuarantee } from "./guarantee/describe-paths.ts";
export {
  type Agent,
  type AgentOptions,
  type AgentState,
  createAgent,
} from "./graph/create-agent.ts";
export {
  compareConfigurations,
  type ConfigurationChanges,
} from "./reload/compare-configurations.ts";
export type { ReloadOutcome } from "./reload/apply-configuration.ts";
export { type AgentLog, type AgentLogOptions, createAgentLog } from "./log/agent-log.ts";
export { type LogLevel, readLogSettings } from "./log/log-settings.ts";
export {
  type MonitoringSettings,
  readMonitoringSettings,
} from "./monitoring/monitoring-settings.ts";
export type { Readiness } from "./monitoring/monitoring-server.ts";
