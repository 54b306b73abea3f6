import { createHash } from "node:crypto";

/** 48 bits are whole in a double, which is what a metric is. */
const generationBytes = 6;

/**
 * A number of what the files of a configuration hold, in their order: the first 48 bits of a SHA-256
 * over each one's length and bytes. Agents that run the same files have the same.
 */
export function generationOf(contents: readonly Buffer[]): number {
  const hash = createHash("sha256");
  for (const bytes of contents) hash.update(`${bytes.length}\n`).update(bytes);
  return hash.digest().readUIntBE(0, generationBytes);
}
