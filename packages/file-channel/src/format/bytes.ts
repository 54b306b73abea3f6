/** All numbers of the log are big-endian and unsigned; 64-bit ones are safe integers in code. */
const high = 0x1_0000_0000;

export function writeU64(into: Buffer, at: number, value: number): void {
  into.writeUInt32BE(Math.floor(value / high), at);
  into.writeUInt32BE(value >>> 0, at + 4);
}

/** The number at `at`; over 2^53 it is no longer exact, and `Number.isSafeInteger` says so. */
export function readU64(from: Buffer, at: number): number {
  return from.readUInt32BE(at) * high + from.readUInt32BE(at + 4);
}

/** The next multiple of `step`, or `value` itself where it is one. */
export function alignUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}
