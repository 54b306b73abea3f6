import { type AgentStatus, createAdminServer, describeAgent } from "@millrace/agent";
import { systemRuntime, toMillraceError } from "@millrace/core";
import { createRequire } from "node:module";
import type { CreateCompanion } from "./companions.ts";

/**
 * With `-Dmillrace.socket`: a socket for operators. An agent that cannot have one says so and runs on:
 * what it moves is worth more than being asked.
 */
export const adminSocket: CreateCompanion = ({ agent, defines, log, reload }) => {
  const path = defines.get("millrace.socket");
  if (path === undefined || path === "") return {};
  const own = log.of("admin");
  const { version } = createRequire(import.meta.url)("../../package.json") as { version: string };
  const status = (): AgentStatus =>
    describeAgent(agent, {
      ...{ version, pid: process.pid, uptimeSeconds: process.uptime() },
      role: defines.get("millrace.role"),
    });
  const server = createAdminServer({
    ...{ path, files: systemRuntime.files, log: own, status, reload },
  });
  return {
    async begin() {
      try {
        await server.start();
        own.info("the admin socket listens", { path });
      } catch (thrown) {
        const { code, message } = toMillraceError(thrown);
        own.error(`${message}; the agent runs without it`, { code });
      }
    },
    end: () => server.stop(),
  };
};
