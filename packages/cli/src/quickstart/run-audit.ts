import {
  type ArrivalJudge,
  createArrivalJudge,
  createLineTail,
  createOutputTail,
  fileExists,
  type FileSystem,
  parseHeadedLine,
  parsePositions,
  readWholeFile,
} from "@millrace/core";
import { collectorNames, type Layout } from "./layout.ts";

/**
 * Reads what the run tails, what the edge has acknowledged and what the collectors wrote, and judges
 * it. One that reads along gives the numbers on the screen; a new one, after all agents have ended,
 * reads everything again from the start and has the last word.
 */
export interface RunAudit {
  readonly judge: ArrivalJudge;
  /** Input files whose last line has no end yet: it is not an event yet. */
  readonly unfinishedLines: number;
  /** Half lines at the end of output files, which a killed collector left. */
  readonly tornLines: number;
  update(): Promise<void>;
}

export function createRunAudit(
  files: FileSystem,
  inputs: readonly string[],
  layout: Layout,
): RunAudit {
  const judge = createArrivalJudge();
  const tails = inputs.map((path) => ({ path, tail: createLineTail(files, path), seen: false }));
  const outputs = collectorNames.map((name) => ({
    name,
    tail: createOutputTail(files, layout.out(name)),
  }));

  async function readInputs(): Promise<void> {
    for (const input of tails) {
      const { path, tail } = input;
      const found = await tail.read((line, _start, end) => judge.issue(path, line, end));
      if (found === "read") input.seen = true;
      else if (found === "replaced") judge.setAside(path, "was rotated or truncated meanwhile");
      else if (input.seen) judge.setAside(path, "was removed meanwhile");
    }
    if (!(await fileExists(files, layout.positionFile))) return;
    const text = (await readWholeFile(files, layout.positionFile)).toString();
    for (const [path, position] of parsePositions(text)) judge.acknowledge(path, position);
  }

  return {
    judge,
    get unfinishedLines() {
      return tails.filter(({ tail }) => tail.pendingBytes > 0).length;
    },
    get tornLines() {
      return outputs.reduce((sum, { tail }) => sum + tail.tornLines, 0);
    },
    async update() {
      // Sizes first: what is in an output by now was in the inputs before they are read.
      const sizes = await Promise.all(outputs.map(({ tail }) => tail.sizes()));
      await readInputs();
      for (const [index, { name, tail }] of outputs.entries()) {
        await tail.read(sizes[index] ?? new Map(), (line, where) =>
          judge.arrive(name, parseHeadedLine(line), where),
        );
      }
    },
  };
}
