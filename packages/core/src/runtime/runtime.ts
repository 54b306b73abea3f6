import type { Clock } from "./clock.ts";
import type { DirectoryLocks } from "./directory-locks.ts";
import type { FileSystem } from "./file-system.ts";
import type { Random } from "./random.ts";

/** Everything that is not deterministic. A whole agent runs on a simulated one with one seed. */
export interface Runtime {
  readonly clock: Clock;
  readonly random: Random;
  readonly files: FileSystem;
  /** `socketLocks` when left out. */
  readonly locks?: DirectoryLocks;
}
