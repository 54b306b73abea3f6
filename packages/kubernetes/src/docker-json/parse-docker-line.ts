/**
 * A line of a log as Docker's json-file driver writes it:
 *
 *   {"log":"the text\n","stream":"stdout","time":"2026-01-02T15:04:05.123456789Z"}
 *
 * A text without line feed goes on in the stream's next line. Other members are ignored.
 */
import { type ContainerLine, parseTimestamp } from "../lines/container-line.ts";

/** The line without its line feed; undefined when it is not of this form. */
export function parseDockerLine(line: Buffer): ContainerLine | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line.toString());
  } catch {
    return undefined;
  }
  if (typeof parsed !== "object" || parsed === null) return undefined;
  const { log, stream, time } = parsed as Record<string, unknown>;
  if (stream !== "stdout" && stream !== "stderr") return undefined;
  if (typeof log !== "string" || typeof time !== "string") return undefined;
  const timestampMs = parseTimestamp(time);
  if (timestampMs === undefined) return undefined;
  const isPartial = !log.endsWith("\n");
  const text = isPartial ? log : log.slice(0, log.endsWith("\r\n") ? -2 : -1);
  return { stream, timestampMs, text: Buffer.from(text), isPartial };
}
