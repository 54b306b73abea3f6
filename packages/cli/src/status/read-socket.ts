import type { AgentStatus } from "@millrace/agent";
import { systemRuntime } from "@millrace/core";
import { request } from "node:http";
import type { AgentReport } from "./agent-report.ts";
import { isFull } from "./agent-report.ts";
import { late } from "./assess.ts";
import { durationText } from "./figures.ts";

const answerTimeoutMs = 5000;
/** An agent of thousands of paths stays far below. */
const answerBytesMax = 16 * 1024 * 1024;

/** Asks the agent behind a socket for its status. Rejects with the system's error, or with what is wrong with the answer. */
export function readSocket(socketPath: string, timeoutMs = answerTimeoutMs): Promise<AgentStatus> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path: "/status", agent: false }, (response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > answerBytesMax) fail(`its answer is over ${answerBytesMax} bytes`);
        else chunks.push(chunk);
      });
      response.on("error", reject);
      response.on("end", () => {
        const status = parseStatus(Buffer.concat(chunks).toString("utf8"));
        if (response.statusCode === 200 && status !== undefined) resolve(status);
        else fail(`what answers is no Millrace agent: GET /status answers ${response.statusCode}`);
      });
    });
    const fail = (why: string): void => {
      reject(new Error(why));
      asked.destroy();
    };
    // Of the whole answer: one that drips byte by byte is none.
    const late = setTimeout(() => fail(`no answer within ${timeoutMs / 1000} s`), timeoutMs);
    asked.on("close", () => clearTimeout(late));
    asked.on("error", reject);
    asked.end();
  });
}

/** The status, or undefined when the text is none: a socket's path may be another program's. */
function parseStatus(text: string): AgentStatus | undefined {
  try {
    const status = JSON.parse(text) as Partial<AgentStatus> | null;
    const lists = [status?.channels, status?.sinks, status?.paths];
    return lists.every(Array.isArray) ? (status as AgentStatus) : undefined;
  } catch {
    return undefined;
  }
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
    ...late(channels),
  ];
  const needs = full.length > 0 ? "full" : why.length > 0 ? "attention" : "ok";
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
