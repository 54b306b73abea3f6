/**
 * A line of a log as the Container Runtime Interface has it (containerd, CRI-O; KEP 0028):
 *
 *   2026-01-02T15:04:05.123456789Z stdout F the text
 *   <RFC 3339, nanoseconds> SP <stdout|stderr> SP <tag>[:<tag>...] SP <text>
 *
 * The first tag is `F` for a line's last piece and `P` for one that goes on. Other tags are ignored,
 * as kubelet does. A line without text may lack its last space.
 */
import { type ContainerLine, parseTimestamp } from "../lines/container-line.ts";

const space = 0x20;
const colon = 0x3a;
const full = 0x46;
const partial = 0x50;
const timestampBytesMax = 35;
const noBytes = Buffer.alloc(0);

/** The line without its line feed; undefined when it is not of this form. The text shares its bytes. */
export function parseCriLine(line: Buffer): ContainerLine | undefined {
  const timeEnd = line.indexOf(space);
  if (timeEnd < 0 || timeEnd > timestampBytesMax) return undefined;
  const timestampMs = parseTimestamp(line.toString("latin1", 0, timeEnd));
  if (timestampMs === undefined) return undefined;
  const tagAt = timeEnd + 8;
  if (line[tagAt - 1] !== space) return undefined;
  const stream = line.toString("latin1", timeEnd + 1, tagAt - 1);
  if (stream !== "stdout" && stream !== "stderr") return undefined;
  const tag = line[tagAt];
  if (tag !== full && tag !== partial) return undefined;
  const behind = line[tagAt + 1];
  if (behind !== undefined && behind !== space && behind !== colon) return undefined;
  const tagsEnd = line.indexOf(space, tagAt);
  const text = tagsEnd < 0 ? noBytes : line.subarray(tagsEnd + 1);
  return { stream, timestampMs, text, isPartial: tag === partial };
}
