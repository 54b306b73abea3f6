import { readU64 } from "../format/bytes.ts";
import { eventsOf, type ScanBounds } from "./scan-segment.ts";
import type { HeaderlessSegment, SegmentFile } from "./segment-files.ts";
import { scan, type SurveyedSegment } from "./surveyed-segment.ts";
import type { ToolContext } from "./tool-context.ts";

/**
 * The sequence that the newest segment begins with, where neither its header nor its first record
 * can be read: what the header's bytes say where that can be, else where the segment before ends.
 * What that one holds is sound, and must not be given up with the damage.
 */
export async function firstSequenceOf(
  context: ToolContext,
  file: SegmentFile,
  shows: HeaderlessSegment,
  before: SurveyedSegment | undefined,
): Promise<number> {
  const ends = before === undefined ? shows.firstRead : await endOf(context, before);
  const latest = Math.min(ends, shows.firstRead);
  const earliest = before?.header.firstSequence ?? 1;
  const said = file.headerBytes.length >= 62 ? readU64(file.headerBytes, 54) : 0;
  return said >= earliest && said <= latest ? said : latest;
}

/** Behind the last event of a segment, of which no other says where it ends. */
async function endOf(context: ToolContext, one: SurveyedSegment): Promise<number> {
  const { firstSequence, groupAlign: align } = one.header;
  let end = firstSequence;
  const bounds: ScanBounds = { firstSequence, nextSequence: undefined, end: one.file.size, align };
  await scan(context, one, bounds, (item) => {
    end =
      item.kind === "damage" ? item.end : item.record.head.sequence + eventsOf(item.record.head);
  });
  return end;
}
