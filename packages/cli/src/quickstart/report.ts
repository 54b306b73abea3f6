import type { ArrivalVerdict, MissingLine } from "@millrace/core";
import { relative } from "node:path";
import { type AgentFacts, locateMissing } from "./locate-missing.ts";
import { number } from "./view.ts";

export interface RunReport {
  readonly verdict: ArrivalVerdict;
  readonly unfinishedLines: number;
  readonly tornLines: number;
  /** How many collectors were killed: each may leave half a line at the end of a file. */
  readonly killed: number;
  readonly drainedMs: number;
  readonly edge: AgentFacts;
  readonly collectors: readonly AgentFacts[];
  readonly directory: string;
}

const namedMax = 10;

/** Whether every line arrived, once at least and unchanged. */
export function runSucceeded({ verdict, tornLines, killed }: RunReport): boolean {
  const { missing, unknown, changed, outOfOrder } = verdict;
  return missing + unknown + changed + outOfOrder === 0 && tornLines <= killed;
}

/** The last words of a run. A missing line is named with its file, its number, and where to look. */
export function renderReport(report: RunReport): string[] {
  const { verdict, directory } = report;
  const lines = [
    `  drained in ${(report.drainedMs / 1000).toFixed(1)} s. ` +
      `${number(verdict.issued)} lines read, ${number(verdict.distinct)} distinct lines in the ` +
      `output, ${number(verdict.missing)} missing, ${number(verdict.duplicates)} duplicates.`,
  ];
  for (const line of verdict.missingLines.slice(0, namedMax)) {
    lines.push(`  missing: ${nameOf(line, directory)}: ${whereToLook(line, report)}`);
  }
  if (verdict.missing > namedMax) {
    lines.push(`  missing: ${number(verdict.missing - namedMax)} more`);
  }
  for (const complaint of verdict.complaints.slice(0, namedMax))
    lines.push(`  wrong: ${complaint}`);
  for (const [path, reason] of verdict.setAside) {
    lines.push(`  not judged: ${relative(directory, path)}: it ${reason}`);
  }
  if (report.unfinishedLines > 0) {
    lines.push(
      `  ${number(report.unfinishedLines)} files end in a line without its end: not an event yet.`,
    );
  }
  if (report.tornLines > 0) {
    lines.push(
      `  ${number(report.tornLines)} output files end in half a line: a killed collector's last ` +
        `write, which came again whole.`,
    );
  }
  return lines;
}

function nameOf({ stream, lineNumber, startOffset }: MissingLine, directory: string): string {
  return `${relative(directory, stream)} line ${number(lineNumber)} (offset ${startOffset})`;
}

function whereToLook(line: MissingLine, { edge, collectors }: RunReport): string {
  return locateMissing(line.acknowledged, edge, collectors);
}
