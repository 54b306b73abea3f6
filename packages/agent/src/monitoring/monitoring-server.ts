import { type CounterGroup, type Log, MillraceError, systemErrorCode } from "@millrace/core";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { boundConnections } from "./bound-connections.ts";
import { flumeJson } from "./flume-json.ts";
import { createLeaveOut, readableGroups } from "./leave-out.ts";
import type { MetricsRegistry } from "./metrics-registry.ts";
import type { MonitoringSettings } from "./monitoring-settings.ts";
import type { PrometheusExporter } from "./prometheus.ts";

/** Whether the agent takes events, and if not, why. */
export interface Readiness {
  readonly ready: boolean;
  readonly reason: string;
}

export interface Monitored {
  readonly agent: string;
  readonly metrics: MetricsRegistry;
  counterGroups(): readonly CounterGroup[];
  readiness(): Readiness;
  /** Whether everything has run at one time: it stays so while the agent drains, or is in trouble. */
  started(): boolean;
}

/** Answers on one port what is harmless: metrics, health and readiness. */
export interface MonitoringServer {
  /** Resolves with the port it listens on. Throws PORT_IN_USE or LISTEN_FAILED. */
  start(): Promise<number>;
  stop(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const plain = "text/plain;charset=utf-8";
const requestMsMax = 10_000;
const connectionsMax = 100;

/**
 *     GET /metrics             Flume's JSON or Prometheus' text, as `type` says
 *         /metrics.json        Flume's JSON
 *         /metrics/prometheus  Prometheus' text
 *         /healthz             200 while the event loop turns
 *         /readyz              200 when the agent takes events, else 503 with the reason
 *         /startedz            200 once all of the agent has started, until it ends, else 503
 *         /                    a page with these links
 *
 * As in Flume paths are compared without regard to case, every method answers but TRACE and
 * OPTIONS (403), and any other path is 404.
 */
export function createMonitoringServer(
  settings: MonitoringSettings,
  monitored: Monitored,
  log: Log,
): MonitoringServer {
  let server: Server | undefined;
  let exporter: Promise<PrometheusExporter> | undefined;

  const leaveOut = createLeaveOut(log);
  const groups = () => readableGroups(monitored.counterGroups(), leaveOut);
  const json = (): Answer => ({
    status: 200,
    type: "application/json;charset=utf-8",
    body: flumeJson(groups()),
  });
  const prometheus = async (): Promise<Answer> => {
    exporter ??= import("./prometheus.ts").then(({ createPrometheusExporter }) =>
      createPrometheusExporter(monitored.metrics, groups, leaveOut),
    );
    const { contentType, render } = await exporter;
    return { status: 200, type: contentType, body: await render() };
  };

  async function answer(method: string, path: string): Promise<Answer> {
    if (method === "TRACE" || method === "OPTIONS") {
      return { status: 403, type: plain, body: "forbidden\n" };
    }
    switch (path) {
      case "/metrics":
        return settings.type === "http" ? json() : prometheus();
      case "/metrics.json":
        return json();
      case "/metrics/prometheus":
        return prometheus();
      case "/healthz":
        return { status: 200, type: plain, body: "ok\n" };
      case "/readyz": {
        const { ready, reason } = monitored.readiness();
        return { status: ready ? 200 : 503, type: plain, body: `${reason}\n` };
      }
      case "/startedz":
        if (monitored.started()) return { status: 200, type: plain, body: "started\n" };
        return { status: 503, type: plain, body: `${monitored.readiness().reason}\n` };
      case "/":
        return { status: 200, type: "text/html;charset=utf-8", body: page(monitored.agent) };
      default:
        return { status: 404, type: plain, body: "not found\n" };
    }
  }

  function respond({ method = "GET", url = "/" }: IncomingMessage, response: ServerResponse): void {
    const path = url.replace(/\?.*$/, "").toLowerCase();
    answer(method, path)
      .catch((error: unknown): Answer => {
        log.error("a request to the monitoring port failed", { path, error });
        return { status: 500, type: plain, body: "see the agent's log\n" };
      })
      .then(({ status, type, body }) => {
        const headers = { "content-type": type, "content-length": Buffer.byteLength(body) };
        response.writeHead(status, headers).end(method === "HEAD" ? undefined : body);
      })
      .catch(() => response.destroy());
  }

  return {
    async start() {
      server = createServer({ requestTimeout: requestMsMax }, respond);
      boundConnections(server, connectionsMax);
      await listen(server, settings);
      return (server.address() as AddressInfo).port;
    },
    async stop() {
      const listening = server;
      server = undefined;
      if (exporter !== undefined) (await exporter).close();
      exporter = undefined;
      if (listening === undefined) return;
      await new Promise<void>((resolve) => {
        listening.close(() => resolve());
        listening.closeAllConnections();
      });
    },
  };
}

function listen(server: Server, { host, port }: MonitoringSettings): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => {
      const inUse = systemErrorCode(cause) === "EADDRINUSE";
      const message = `monitoring on ${host}:${port}: ${cause.message}`;
      reject(new MillraceError(inUse ? "PORT_IN_USE" : "LISTEN_FAILED", message, { cause }));
    });
    server.listen(port, host, resolve);
  });
}

function page(agent: string): string {
  const name = agent.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);
  const links = [
    "/metrics",
    "/metrics.json",
    "/metrics/prometheus",
    "/healthz",
    "/readyz",
    "/startedz",
  ]
    .map((path) => `<li><a href="${path}">${path}</a></li>`)
    .join("");
  return `<!doctype html><title>${name}</title><h1>Millrace agent ${name}</h1><ul>${links}</ul>\n`;
}
