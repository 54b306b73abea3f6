import { randomBytes, randomInt } from "node:crypto";

/** Chance: salts, ids, jitter. Tests give a seeded one. */
export interface Random {
  bytes(count: number): Buffer;
  /** A whole number in `[0, below)`. */
  integer(below: number): number;
}

/** `ms` plus or minus a fifth, so that many clients do not return at one moment. */
export function jitter(random: Random, ms: number): number {
  return Math.round(ms * (0.8 + random.integer(401) / 1000));
}

export const systemRandom: Random = {
  bytes: (count) => randomBytes(count),
  integer: (below) => randomInt(below),
};
