import type { AgentStatus } from "@millrace/agent";
import { systemRuntime } from "@millrace/core";
import { request } from "node:http";
import type { AgentReport } from "./agent-report.ts";
import { isFull } from "./agent-report.ts";
import { durationText } from "./figures.ts";

const timeoutMs = 5000;

/** Asks the agent behind a socket for its status. Rejects with the system's error. */
export function readSocket(socketPath: string): Promise<AgentStatus> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: "/status", timeout: timeoutMs }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part: string) => (text += part));
      response.on("error", reject);
      response.on("end", () => {
        try {
          resolve(JSON.parse(text) as AgentStatus);
        } catch {
          reject(new Error(`what answers at ${socketPath} is no Millrace agent`));
        }
      });
    });
    asked.on("timeout", () => asked.destroy(new Error(`no answer within ${timeoutMs / 1000} s`)));
    asked.on("error", reject);
    asked.end();
  });
}

/** The report of an agent that tells everything of itself, errors in their own words. */
export function reportOf(status: AgentStatus): AgentReport {
  const channels = status.channels.map((channel) => ({
    ...channel,
    bytes: channel.bytes,
    capacityBytes: channel.capacityBytes,
    oldestSeconds: channel.oldestAgeSeconds,
    fullInSeconds: undefined,
  }));
  const failing = status.sinks.flatMap(({ lastError, name }) =>
    lastError === undefined
      ? []
      : [`sink ${name}: ${lastError.code} ${lastError.message}, for ${since(lastError.sinceMs)}`],
  );
  const full = channels.filter(isFull);
  const why = [
    ...(status.ready ? [] : [status.reason]),
    ...full.map(({ name }) => `channel ${name} is full: its sources wait`),
    ...failing,
  ];
  const needs = full.length > 0 ? "full" : failing.length > 0 ? "attention" : "ok";
  return {
    address: `pid ${status.pid}`,
    agent: status.agent,
    role: status.role,
    severity: status.ready ? needs : "not ready",
    channels,
    inPerSecond: undefined,
    outPerSecond: undefined,
    why,
    generation: status.configurationGeneration,
  };
}

/** What there is to say of one agent beside its report. */
export function renderDetails(status: AgentStatus): string[] {
  const { agent, configurationGeneration, paths, state, uptimeSeconds, version } = status;
  return [
    `${agent}: ${state}, up ${durationText(uptimeSeconds)}, Millrace ${version}, configuration ${configurationGeneration}`,
    ...paths.map((path) => `  ${path}`),
  ];
}

function since(ms: number): string {
  return durationText(Math.max(0, systemRuntime.clock.now() - ms) / 1000);
}
