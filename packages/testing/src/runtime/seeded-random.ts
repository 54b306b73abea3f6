import type { Random } from "@millrace/core";

/** Repeatable chance (mulberry32). The same seed gives the same run. */
export function createSeededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  return {
    bytes(count) {
      const bytes = Buffer.alloc(count);
      for (let i = 0; i < count; i++) bytes[i] = next() & 0xff;
      return bytes;
    },
    integer: (below) => Math.floor((next() / 0x1_0000_0000) * below),
  };
}
