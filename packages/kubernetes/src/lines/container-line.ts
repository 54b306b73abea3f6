/** What a container wrote, as its runtime noted it: a line, or a piece of one. */
export interface ContainerLine {
  readonly stream: StreamName;
  readonly timestampMs: number;
  readonly text: Buffer;
  /** The line goes on in the stream's next piece. */
  readonly isPartial: boolean;
}

export type StreamName = "stdout" | "stderr";

const timestampForm = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/;

/** RFC 3339 with up to nine digits behind the second, as milliseconds; undefined for anything else. */
export function parseTimestamp(text: string): number | undefined {
  if (!timestampForm.test(text)) return undefined;
  const timestampMs = Date.parse(text);
  return Number.isNaN(timestampMs) ? undefined : timestampMs;
}
