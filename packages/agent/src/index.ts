export type * from "./config/agent-configuration.ts";
export { listAgents } from "./config/list-agents.ts";
export { type ConfigurationRequest, loadConfiguration } from "./config/load-configuration.ts";
export { generationOf } from "./config/generation.ts";
export { formatProblem, type Problem } from "./config/problem.ts";
export { didYouMean } from "./config/nearest-name.ts";
export { describePaths, formatPath, type PathGuarantee } from "./guarantee/describe-paths.ts";
export type { Agent, AgentOptions, AgentState } from "./graph/agent.ts";
export { createAgent } from "./graph/create-agent.ts";
export { compareConfigurations } from "./reload/compare-configurations.ts";
export type { ReloadOutcome } from "./reload/apply-reload.ts";
export { type AgentLog, type AgentLogOptions, createAgentLog } from "./log/agent-log.ts";
export { type LogLevel, readLogSettings } from "./log/log-settings.ts";
export {
  type MonitoringSettings,
  readMonitoringSettings,
} from "./monitoring/monitoring-settings.ts";
export type { Readiness } from "./monitoring/monitoring-server.ts";
export type { AgentStatus, ChannelStatus, SinkError, SinkStatus } from "./admin/agent-status.ts";
export {
  type AdminServer,
  type AdminServerOptions,
  createAdminServer,
} from "./admin/admin-server.ts";
export { describeAgent, type ProcessFacts } from "./admin/describe-agent.ts";
