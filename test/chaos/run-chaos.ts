import { createSeededRandom } from "@millrace/testing";
import type { TestContext } from "node:test";
import { createChain } from "./chain.ts";
import { faults } from "./faults.ts";

export interface ChaosOptions {
  readonly seed: number;
  readonly linesPerSecond: number;
  /** After every fault was done once, goes on with faults by chance until this much time has passed. */
  readonly durationMs: number;
}

/** Runs the chain under load, damages it in every way there is, and lets the oracle judge. */
export async function runChaos(test: TestContext, options: ChaosOptions): Promise<void> {
  const random = createSeededRandom(options.seed);
  const chain = await createChain(test, options);
  const { oracle, writer } = chain;
  const began = performance.now();
  await chain.start();
  writer.start();
  await chain.progress(1_000);
  for (const fault of faults) {
    test.diagnostic(`${elapsed(began)} ${fault.name}`);
    await fault.run(chain);
    await chain.progress(200);
  }
  while (performance.now() - began < options.durationMs) {
    const fault = faults[random.integer(faults.length)];
    test.diagnostic(`${elapsed(began)} ${fault?.name}`);
    await fault?.run(chain);
    await chain.progress(random.integer(2_000));
  }
  oracle.faultsEnded();
  const goal = writer.written + 500;
  await chain.progress(500);
  await writer.stop();
  if (writer.written < goal) await writer.write(goal - writer.written);
  await oracle.settled(120_000);
  const report = await oracle.check({
    lines: 8_000,
    faults: 16,
    duplicates: 1,
    tornLinesMax: oracle.faults.get("SIGKILL of a collector") ?? 0,
  });
  test.diagnostic(`${elapsed(began)} seed ${options.seed}: ${report.text}`);
}

function elapsed(beganMs: number): string {
  return `${((performance.now() - beganMs) / 1000).toFixed(1)} s`;
}
