/** What `-Dflume.monitoring.*` asks for. */
export interface MonitoringSettings {
  /** What `/metrics` answers: Flume's JSON, or Prometheus' text. */
  readonly type: "http" | "prometheus";
  readonly host: string;
  readonly port: number;
}

const types: Readonly<Record<string, MonitoringSettings["type"]>> = {
  http: "http",
  "org.apache.flume.instrumentation.http.httpmetricsserver": "http",
  prometheus: "prometheus",
  "org.apache.flume.instrumentation.http.prometheushttpmetricsserver": "prometheus",
};

/**
 * Reads `flume.monitoring.type`, `.port` (41414 when not given) and `.bind` (all interfaces).
 * Undefined settings: no monitoring is asked for, or `problem` says why it cannot be.
 */
export function readMonitoringSettings(defines: ReadonlyMap<string, string>): {
  readonly settings?: MonitoringSettings;
  readonly problem?: string;
} {
  const given = defines.get("flume.monitoring.type");
  if (given === undefined) return {};
  const type = types[given.toLowerCase()];
  if (type === undefined) {
    const problem = `flume.monitoring.type=${given} is not supported; it is http or prometheus`;
    return { problem };
  }
  const portText = defines.get("flume.monitoring.port") ?? "41414";
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : NaN;
  if (!(port <= 65535)) {
    const problem = `flume.monitoring.port=${portText} is not a port: a whole number from 0 to 65535`;
    return { problem };
  }
  return { settings: { type, port, host: defines.get("flume.monitoring.bind") ?? "0.0.0.0" } };
}
