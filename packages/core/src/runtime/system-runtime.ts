import { systemClock } from "./clock.ts";
import { nodeFileSystem } from "./node-file-system.ts";
import { systemRandom } from "./random.ts";
import type { Runtime } from "./runtime.ts";

/** The machine's own clock, chance and files. */
export const systemRuntime: Runtime = {
  clock: systemClock,
  random: systemRandom,
  files: nodeFileSystem,
};
