import { crc32 } from "node:zlib";

/** Which line an output line is, and the bytes it carried. */
export interface Arrival {
  readonly stream: string;
  /** The line's number in its stream, from 0, or where it began in its file: one of the two. */
  readonly index?: number;
  readonly startOffset?: number;
  readonly body: Buffer;
}

/**
 * A line that says which one it is: `<stream>:<n>:<checksum> <text>`. The checksum covers all but
 * itself, so that a line that was changed shows it even to someone who never saw it written.
 */
export function encodeNumberedLine(stream: string, index: number, text: string): Buffer {
  return Buffer.from(`${stream}:${index}:${checksumText(stream, index, text)} ${text}`);
}

const numberedPattern = /^([^:]+):(\d+):([0-9a-f]{8}) (.*)$/s;

/** Undefined when the line is none of these, or its checksum does not fit. */
export function parseNumberedLine(line: Buffer): Arrival | undefined {
  const [, stream, digits, checksum, text] = numberedPattern.exec(line.toString()) ?? [];
  if (stream === undefined || digits === undefined || text === undefined) return undefined;
  const index = Number(digits);
  if (checksumText(stream, index, text) !== checksum) return undefined;
  return { stream, index, body: line };
}

function checksumText(stream: string, index: number, text: string): string {
  return crc32(`${stream}:${index} ${text}`).toString(16).padStart(8, "0");
}

const headedPattern = /^\{(?:byteoffset=(\d+), file=(.*?)|file=(.*?), byteoffset=(\d+))\} /s;
const headerBytesMax = 8192;

/**
 * A line as HEADER_AND_TEXT writes an event that taildir gave its file and byte offset:
 * `{file=/var/log/syslog, byteoffset=4711} text`. Any line of any file is told from all others by
 * these two. Undefined when they are not there.
 */
export function parseHeadedLine(line: Buffer): Arrival | undefined {
  const head = headedPattern.exec(line.toString("latin1", 0, headerBytesMax));
  if (head === null) return undefined;
  const offset = head[1] ?? head[4];
  const file = head[2] ?? head[3];
  if (offset === undefined || file === undefined) return undefined;
  return {
    stream: Buffer.from(file, "latin1").toString(),
    startOffset: Number(offset),
    body: line.subarray(head[0].length),
  };
}
