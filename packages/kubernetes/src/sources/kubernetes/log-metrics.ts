import type { Counter, Metrics } from "@millrace/core";

export interface LogMetrics {
  readonly lostBytes: Counter;
  readonly lostFiles: Counter;
  readonly rotations: Counter;
  readonly truncations: Counter;
  readonly cutParts: Counter;
  readonly foreignLines: Counter;
}

export function declareLogMetrics(metrics: Metrics): LogMetrics {
  return {
    lostBytes: metrics.counter(
      "millrace_source_unread_lost_bytes_total",
      "Bytes that were seen in files and gone before they were read.",
    ),
    lostFiles: metrics.counter(
      "millrace_source_files_lost_total",
      "Files that were gone before they were known to be read to their end; what they got since they were last seen is not known.",
    ),
    rotations: metrics.counter(
      "millrace_source_files_rotated_total",
      "Files that were renamed or deleted while they were followed.",
    ),
    truncations: metrics.counter(
      "millrace_source_files_truncated_total",
      "Files that began anew while they were followed.",
    ),
    cutParts: metrics.counter(
      "millrace_source_lines_cut_total",
      "Parts cut off events that are longer than maxLineBytes.",
    ),
    foreignLines: metrics.counter(
      "millrace_source_lines_unparsed_total",
      "Lines of no known form, sent as they are.",
    ),
  };
}
