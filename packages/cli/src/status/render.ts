import { type AgentReport, type ChannelReport, mixedRoles, worstFirst } from "./agent-report.ts";
import { countText, durationText } from "./figures.ts";

const columns = [24, 11, 7, 6, 7, 8, 8] as const;
const heads = ["agent", "held", "oldest", "full", "full in", "in/s", "out/s"] as const;

/**
 * A line an agent, the worst first, and below it why: within 80 columns but for long reasons, which go on
 * in the next line where `width` is not enough for them.
 */
export function renderReports(reports: readonly AgentReport[], width = Infinity): string[] {
  const lines = [`${row(heads)}`];
  for (const report of worstFirst(reports)) {
    const { inPerSecond, outPerSecond } = report;
    const [channel, ...others] = report.channels;
    const rates = [rateText(inPerSecond), rateText(outPerSecond)];
    lines.push(row([titleOf(report), ...channelCells(channel), ...rates]));
    if (others.length > 0) {
      lines[lines.length - 1] = row([titleOf(report), "", "", "", "", ...rates]);
      for (const each of report.channels) {
        lines.push(row([`  ${plain(each.name)}`, ...channelCells(each), "", ""]));
      }
    }
    const [reason, ...more] = report.why;
    if (reason === undefined && report.severity === "ok") continue;
    const first = `  ${report.severity}${reason === undefined ? "" : `: ${reason}`}`;
    for (const line of [first, ...more.map((each) => `    ${each}`)]) {
      lines.push(...folded(plain(line), width));
    }
  }
  const mixed = mixedRoles(reports);
  if (mixed.length > 0) lines.push(`different configurations run: ${mixed.join(", ")}`);
  return lines;
}

function titleOf({ address, agent, role }: AgentReport): string {
  const who = role ?? agent;
  return plain(who === undefined ? address : `${who} ${address}`);
}

/** What others say is text: no sequence that a terminal obeys. */
function plain(text: string): string {
  return text.replace(/\p{Cc}+/gu, " ");
}

/** Lines of at most `width`, broken at spaces where there are some, the later ones further to the right. */
function folded(line: string, width: number): string[] {
  const lines: string[] = [];
  // Where there is no room for a margin, each line takes at least something of the text.
  const margin = width > 12 ? "      " : "";
  let rest = line;
  while (rest.length > width) {
    const indent = / */.exec(rest)?.[0].length ?? 0;
    const space = rest.lastIndexOf(" ", width);
    const end = space > indent ? space : width;
    lines.push(rest.slice(0, end).trimEnd());
    rest = margin + rest.slice(end).trimStart();
  }
  return [...lines, rest];
}

function channelCells(channel: ChannelReport | undefined): string[] {
  if (channel === undefined) return ["-", "-", "-", "-"];
  const { bytes, capacityBytes, events, fullInSeconds, oldestSeconds } = channel;
  const isBounded = bytes !== undefined && capacityBytes !== undefined && capacityBytes > 0;
  return [
    countText(events),
    oldestSeconds === undefined ? "-" : durationText(oldestSeconds),
    isBounded ? `${Math.round((bytes / capacityBytes) * 100)} %` : "-",
    fullInSeconds === undefined ? "-" : durationText(fullInSeconds),
  ];
}

function rateText(rate: number | undefined): string {
  return rate === undefined ? "-" : countText(rate);
}

/** The first to the left, the figures to the right; what is longer pushes the rest on. */
function row(cells: readonly string[]): string {
  return cells
    .map((cell, i) => (i === 0 ? cell.padEnd(columns[0]) : cell.padStart(columns[i] ?? 0)))
    .join(" ")
    .trimEnd();
}
