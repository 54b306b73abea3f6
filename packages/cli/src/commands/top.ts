import { MillraceError, sleep, systemRuntime } from "@millrace/core";
import { exitCode } from "../exit-code.ts";
import { help } from "../help.ts";
import type { Command, Output } from "../program.ts";
import { findAgents } from "../status/find-agents.ts";
import { renderReports } from "../status/render.ts";
import { createAgentWatch } from "../status/watch-agents.ts";
import { onReaderGone } from "../terminal/reader-gone.ts";
import { createPicture, type Picture } from "../terminal/picture.ts";
import { parseStatusWords, type StatusWords } from "../words/status-words.ts";

/** The same as `status` again and again: drawn in its place on a terminal, one table behind another in a pipe. */
export const topCommand: Command = async (words, program, output) => {
  const asked = parseStatusWords(words, "top");
  if (asked === "help") {
    output.out(help(program));
    return exitCode.ok;
  }
  if ("problem" in asked) {
    output.err(`${program} top: ${asked.problem}\n\n${help(program)}`);
    return exitCode.usage;
  }
  const stop = new AbortController();
  const quit = (): void => stop.abort();
  const release = listenToQuit(quit);
  onReaderGone(process.stdout, quit);
  try {
    await watch(asked, output, stop.signal);
    return exitCode.ok;
  } catch (error) {
    if (stop.signal.aborted) return exitCode.ok;
    if (!(error instanceof MillraceError)) throw error;
    output.err(`${error.code} ${error.message}`);
    return exitCode.usage;
  } finally {
    release();
  }
};

async function watch(asked: StatusWords, output: Output, stop: AbortSignal): Promise<void> {
  const { addresses, count, intervalMs, port } = asked;
  const finder = await findAgents(addresses, { port, giveUp: stop });
  const { stdout } = process;
  const picture = createPicture(stdout);
  const isDrawn = stdout.isTTY && process.env["TERM"] !== "dumb";
  try {
    const read = createAgentWatch(finder, stop);
    await read();
    for (let shown = 0; shown < count; shown++) {
      await sleep(systemRuntime.clock, intervalMs, stop);
      if (stop.aborted) break;
      const reports = await read();
      if (stop.aborted) break;
      if (isDrawn) drawWhatFits(picture, renderReports(reports, stdout.columns || undefined));
      else output.out(`${renderReports(reports).join("\n")}\n`);
    }
  } finally {
    await finder.stop();
  }
}

/** The worst stand first; what has no room is at least counted. */
function drawWhatFits(picture: Picture, lines: readonly string[]): void {
  const room = Math.max(2, (process.stdout.rows || 25) - 1);
  const left = lines.length - room + 1;
  const more = `... ${left} more lines: millrace status prints them all`;
  picture.draw(left > 1 ? [...lines.slice(0, room - 1), more] : lines);
}

/** `q`, Ctrl-C and signals end it. */
function listenToQuit(quit: () => void): () => void {
  const { stdin } = process;
  const onKey = (keys: Buffer): void => {
    if (/[q\u0003\u0004]/.test(keys.toString("latin1"))) quit();
  };
  process.on("SIGINT", quit).on("SIGTERM", quit).on("SIGHUP", quit);
  if (stdin.isTTY) stdin.setRawMode(true).on("data", onKey).resume();
  return () => {
    process.off("SIGINT", quit).off("SIGTERM", quit).off("SIGHUP", quit);
    if (stdin.isTTY) stdin.off("data", onKey).setRawMode(false).pause();
  };
}
