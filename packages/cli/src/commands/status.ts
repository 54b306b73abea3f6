import { MillraceError, sleep, systemErrorCode, systemRuntime } from "@millrace/core";
import { type ExitCode, exitCode } from "../exit-code.ts";
import { help } from "../help.ts";
import type { Command, Output } from "../program.ts";
import { type AgentReport, mixedRoles, worstFirst } from "../status/agent-report.ts";
import { findAgents } from "../status/find-agents.ts";
import { readSocket, renderDetails, reportOf } from "../status/read-socket.ts";
import { renderReports } from "../status/render.ts";
import { createAgentWatch } from "../status/watch-agents.ts";
import { onReaderGone } from "../terminal/reader-gone.ts";
import { parseStatusWords, type StatusWords } from "../words/status-words.ts";

/** Says how one agent or many are, the worst first; looks twice, as rates need two readings. */
export const statusCommand: Command = async (words, program, output) => {
  const asked = parseStatusWords(words, "status");
  if (asked === "help") {
    output.out(help(program));
    return exitCode.ok;
  }
  if ("problem" in asked) {
    output.err(`${program} status: ${asked.problem}\n\n${help(program)}`);
    return exitCode.usage;
  }
  onReaderGone(process.stdout, () => {});
  try {
    return asked.addresses.length === 0
      ? await statusOfSocket(asked, output)
      : await statusOfMany(asked, output);
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error;
    output.err(`${error.code} ${error.message}`);
    return exitCode.usage;
  }
};

async function statusOfMany(
  { addresses, intervalMs, isJson, port }: StatusWords,
  output: Output,
): Promise<ExitCode> {
  const finder = await findAgents(addresses, { port });
  try {
    const read = createAgentWatch(finder);
    await read();
    await sleep(systemRuntime.clock, intervalMs, new AbortController().signal);
    const reports = worstFirst(await read());
    output.out(isJson ? jsonOf(reports) : renderReports(reports).join("\n"));
    return codeOf(reports);
  } finally {
    await finder.stop();
  }
}

async function statusOfSocket(
  { isJson, socket }: StatusWords,
  { err, out }: Output,
): Promise<ExitCode> {
  let status;
  try {
    status = await readSocket(socket);
  } catch (error) {
    const hint =
      systemErrorCode(error) === "EACCES" ? "; only the agent's own user may use its socket" : "";
    err(
      `no agent answers at ${socket}: ${(error as Error).message}${hint}\n` +
        "Name its socket with -S <path>, or the monitoring ports of agents with -H <host:port,...>",
    );
    return exitCode.attention;
  }
  const report = reportOf(status);
  const text = [...renderReports([report]), ...renderDetails(status)].join("\n");
  out(isJson ? JSON.stringify(status, undefined, 2) : text);
  return codeOf([report]);
}

/** Every key is there, null where nothing is known. */
function jsonOf(reports: readonly AgentReport[]): string {
  return JSON.stringify(reports, (_, value: unknown) => value ?? null, 2);
}

function codeOf(reports: readonly AgentReport[]): ExitCode {
  const isWell = reports.every(({ severity }) => severity === "ok");
  return isWell && mixedRoles(reports).length === 0 ? exitCode.ok : exitCode.attention;
}
