/** The long form: faults by chance for MINUTES (3), repeated exactly by SEED as far as processes allow. */
import { test } from "node:test";
import { runChaos } from "./run-chaos.ts";

const minutes = Number(process.env["MINUTES"] ?? "3");
const seed = Number(process.env["SEED"] ?? Date.now() % 1_000_000);

test(
  `every acknowledged line arrives through ${minutes} minutes of faults (seed ${seed})`,
  { timeout: (minutes + 8) * 60_000 },
  (t) => runChaos(t, { seed, linesPerSecond: 2_000, durationMs: minutes * 60_000 }),
);
