import {
  type ArrivalJudge,
  type ArrivalVerdict,
  createArrivalJudge,
  createOutputTail,
  nodeFileSystem,
  parseNumberedLine,
} from "@millrace/core";
import assert from "node:assert/strict";
import { basename } from "node:path";
import { waitFor } from "../wait-for.ts";
import { readPositions } from "./position-file.ts";

export interface OracleOptions {
  /** Each taildir source's position file: what says that a line is acknowledged. */
  readonly positionFile: string | readonly string[];
  /** Name to directory of each last agent's file_roll sink, with the TEXT serializer. */
  readonly outputs: Readonly<Record<string, string>>;
}

/** What a run must have contained for its verdict to mean something. */
export interface Demands {
  readonly lines: number;
  readonly faults: number;
  readonly duplicates: number;
  /** How many agents were killed while they may have been writing: each may leave half a line. */
  readonly tornLinesMax: number;
  /** Several ways lead to the end, so a file's lines may overtake each other. */
  readonly anyOrder?: boolean;
}

/**
 * Judges a chain of agents by what goes in and what comes out:
 *
 * 1. every acknowledged line arrives;
 * 2. every line that arrives was written;
 * 3. with the same bytes, and each file's lines in their order, repetitions aside;
 * 4. after the faults stop, fresh lines get through;
 * 5. the run contained lines, faults and duplicates.
 */
export interface Oracle {
  /** For the writer of the input. */
  readonly judge: ArrivalJudge;
  readonly faults: ReadonlyMap<string, number>;
  /** A fault was done to the chain. */
  fault(kind: string): void;
  /** From now on nothing is damaged: lines written after this are the fresh ones. */
  faultsEnded(): void;
  /** Reads what is new at both ends. */
  update(): Promise<void>;
  /** Waits until so many more lines have arrived, repetitions aside. */
  progress(lines: number, deadlineMs: number): Promise<void>;
  /** Waits until every line written so far is acknowledged and has arrived. */
  settled(deadlineMs: number): Promise<void>;
  /** Reads both ends once more, then gives the five judgements, each as an assertion. */
  check(demands: Demands): Promise<OracleReport>;
}

export interface OracleReport extends ArrivalVerdict {
  readonly tornLines: number;
  readonly freshLines: number;
  /** One line for the test's output. */
  readonly text: string;
}

export function createOracle(options: OracleOptions): Oracle {
  const judge = createArrivalJudge();
  const positionFiles = [options.positionFile].flat();
  const outputs = Object.entries(options.outputs).map(([name, directory]) => ({
    name,
    tail: createOutputTail(nodeFileSystem, directory),
  }));
  const faults = new Map<string, number>();
  let issuedBeforeFresh: number | undefined;

  async function update(): Promise<void> {
    for (const path of positionFiles) {
      for (const [file, position] of await readPositions(path)) {
        judge.acknowledge(basename(file), position);
      }
    }
    for (const { name, tail } of outputs) {
      await tail.read(await tail.sizes(), (line, where) =>
        judge.arrive(name, parseNumberedLine(line), where),
      );
    }
  }

  return {
    judge,
    faults,
    fault(kind) {
      faults.set(kind, (faults.get(kind) ?? 0) + 1);
    },
    faultsEnded() {
      issuedBeforeFresh = judge.totals().issued;
    },
    update,
    async progress(lines, deadlineMs) {
      const goal = judge.totals().distinct + lines;
      const arrived = async (): Promise<boolean> => {
        await update();
        return judge.totals().distinct >= goal;
      };
      await waitFor(`${lines} more lines to arrive`, arrived, deadlineMs);
    },
    async settled(deadlineMs) {
      const done = async (): Promise<boolean> => {
        await update();
        const { issued, acknowledged, distinct } = judge.totals();
        return acknowledged === issued && distinct === issued;
      };
      await waitFor("every line to arrive", done, deadlineMs).catch((error: Error) => {
        const { missingLines, ...verdict } = judge.verdict();
        const text = JSON.stringify({ ...verdict, missingLines: missingLines.slice(0, 3) });
        throw new Error(`${error.message}: ${text}`);
      });
    },
    async check(demands) {
      await update();
      const verdict = judge.verdict();
      const tornLines = outputs.reduce((sum, { tail }) => sum + tail.tornLines, 0);
      const freshLines = verdict.issued - (issuedBeforeFresh ?? verdict.issued);
      const report = { ...verdict, tornLines, freshLines, text: describe(verdict, faults) };
      assertJudgements(report, demands, faults);
      return report;
    },
  };
}

function assertJudgements(
  report: OracleReport,
  demands: Demands,
  faults: ReadonlyMap<string, number>,
): void {
  const { missingLines, complaints } = report;
  assert.equal(report.missingAcknowledged, 0, `lost: ${JSON.stringify(missingLines)}`);
  assert.equal(report.unknown, 0, `arrived, never written: ${complaints.join("; ")}`);
  assert.equal(report.changed, 0, `changed on the way: ${complaints.join("; ")}`);
  const outOfOrder = demands.anyOrder === true ? 0 : report.outOfOrder;
  assert.equal(outOfOrder, 0, `out of order: ${complaints.join("; ")}`);
  assert.ok(
    report.tornLines <= demands.tornLinesMax,
    `${report.tornLines} lines without an end, ${demands.tornLinesMax} can be explained`,
  );
  assert.ok(report.freshLines > 0, "nothing was written after the faults stopped");
  assert.equal(report.missing, 0, `never got through: ${JSON.stringify(missingLines)}`);
  const faultCount = [...faults.values()].reduce((sum, count) => sum + count, 0);
  assert.ok(report.issued >= demands.lines, `only ${report.issued} lines were written`);
  assert.ok(faultCount >= demands.faults, `only ${faultCount} faults were done`);
  assert.ok(
    report.duplicates >= demands.duplicates,
    `only ${report.duplicates} duplicates: the faults hit nothing that was under way`,
  );
}

function describe(verdict: ArrivalVerdict, faults: ReadonlyMap<string, number>): string {
  const { issued, acknowledged, distinct, duplicates, missing } = verdict;
  const done = [...faults].map(([kind, count]) => `${count} x ${kind}`).join(", ");
  return (
    `${issued} lines written, ${acknowledged} acknowledged, ${distinct} distinct in the output, ` +
    `${duplicates} duplicates, ${missing} missing; faults: ${done || "none"}`
  );
}
