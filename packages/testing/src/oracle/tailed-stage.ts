import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { createSeededRandom } from "../runtime/seeded-random.ts";
import { tempDirectory } from "../temp-directory.ts";
import { createNumberedWriter, type NumberedWriter } from "./numbered-writer.ts";
import { createOracle, type Oracle } from "./oracle.ts";

/** A folder of `a.log`, which the writer fills, `positions.json` and `out/`, which the oracle watches. */
export interface TailedStage {
  readonly folder: string;
  readonly oracle: Oracle;
  readonly writer: NumberedWriter;
}

/** Lines for an agent that tails a file and writes into one directory. Gone when the test ends. */
export async function createTailedStage(
  test: TestContext,
  linesPerSecond: number,
): Promise<TailedStage> {
  const folder = await tempDirectory(test);
  await mkdir(join(folder, "out"));
  const oracle = createOracle({
    positionFile: join(folder, "positions.json"),
    outputs: { out: join(folder, "out") },
  });
  const writer = await createNumberedWriter({
    judge: oracle.judge,
    paths: [join(folder, "a.log")],
    linesPerSecond,
    lineBytes: 100,
    random: createSeededRandom(5),
  });
  test.after(() => writer.close());
  return { folder, oracle, writer };
}
