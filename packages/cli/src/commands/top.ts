import { MillraceError, sleep, systemRuntime } from "@millrace/core";
import { exitCode } from "../exit-code.ts";
import { help } from "../help.ts";
import type { Command } from "../program.ts";
import { findAgents } from "../status/find-agents.ts";
import { renderReports } from "../status/render.ts";
import { createAgentWatch } from "../status/watch-agents.ts";
import { createPicture } from "../terminal/picture.ts";
import { parseStatusWords } from "../words/status-words.ts";

/** The same as `status` again and again: drawn in its place on a terminal, one table behind another in a pipe. */
export const topCommand: Command = async (words, program, output) => {
  const asked = parseStatusWords(words, 2);
  if (asked === "help") {
    output.out(help(program));
    return exitCode.ok;
  }
  const problem =
    "problem" in asked
      ? asked.problem
      : asked.addresses.length === 0
        ? "give -H <host:port,...>, dns://<name> or consul://<service>"
        : undefined;
  if ("problem" in asked || problem !== undefined) {
    output.err(`${program} top: ${problem}\n\n${help(program)}`);
    return exitCode.usage;
  }
  const stop = new AbortController();
  const release = listenToQuit(() => stop.abort());
  try {
    const finder = await findAgents(asked.addresses, asked.port);
    const picture = createPicture(process.stdout);
    const read = createAgentWatch(finder);
    await read();
    for (let shown = 0; shown < asked.count && !stop.signal.aborted; shown++) {
      await sleep(systemRuntime.clock, asked.intervalMs, stop.signal);
      if (stop.signal.aborted) break;
      const lines = renderReports(await read());
      if (process.stdout.isTTY) picture.draw(lines.slice(0, (process.stdout.rows ?? 25) - 1));
      else output.out(`${lines.join("\n")}\n`);
    }
    await finder.stop();
    return exitCode.ok;
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error;
    output.err(`${error.code} ${error.message}`);
    return error.code === "CONFIG_INVALID" ? exitCode.usage : exitCode.attention;
  } finally {
    release();
  }
};

/** `q`, Ctrl-C and signals end it. */
function listenToQuit(quit: () => void): () => void {
  const { stdin } = process;
  const onKey = (keys: Buffer): void => {
    if (/[q\u0003\u0004]/.test(keys.toString("latin1"))) quit();
  };
  process.on("SIGINT", quit).on("SIGTERM", quit);
  if (stdin.isTTY) stdin.setRawMode(true).on("data", onKey).resume();
  return () => {
    process.off("SIGINT", quit).off("SIGTERM", quit);
    if (stdin.isTTY) stdin.off("data", onKey).setRawMode(false).pause();
  };
}
