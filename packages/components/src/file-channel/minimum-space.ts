/** Bytes or a share of the disk that puts leave alone. */
export interface MinimumSpace {
  readonly bytes: number;
  readonly percent: number;
}

/** Flume's floor, whatever is configured. */
const floorBytes = 1024 * 1024;

/** Reads `524288000` or `20%`; undefined when it is neither. */
export function parseMinimumSpace(text: string): MinimumSpace | undefined {
  const share = /^(\d{1,2}(?:\.\d+)?) ?%$/.exec(text);
  if (share !== null) return { bytes: floorBytes, percent: Number(share[1]) };
  const bytes = /^\d+$/.test(text) ? Number(text) : NaN;
  return Number.isSafeInteger(bytes)
    ? { bytes: Math.max(floorBytes, bytes), percent: 0 }
    : undefined;
}
