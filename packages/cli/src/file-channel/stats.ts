import { type ChannelStats, channelStats } from "@millrace/file-channel";
import { formatBytes, formatCount, formatSeconds } from "./figures.ts";
import { type SubCommand, toolExitCode } from "./sub-command.ts";
import { channelUsage, findTarget, parseToolWords } from "./words.ts";

export const statsCommand: SubCommand = {
  summary: "says what the channel holds, where, since when, and its totals; writes nothing",
  usage: `stats <directory>... [--json]

${channelUsage}
  --json                       one object on standard output

example
  millrace file-channel stats -n edge -f /etc/millrace/edge.conf -c c1`,
  async run(args, around) {
    const words = parseToolWords(args, { json: { type: "boolean" } });
    const { directories } = await findTarget(words, around);
    const { runtime, output } = around;
    const stats = await channelStats(directories, { runtime });
    if (words.values["json"] === true) output.out(JSON.stringify(stats, undefined, 2));
    else for (const line of describe(stats, runtime.clock.now())) output.out(line);
    return stats.isDamaged ? toolExitCode.wrong : toolExitCode.ok;
  },
};

function describe(stats: ChannelStats, nowMs: number): string[] {
  const { directories, segments, totals, leftovers } = stats;
  return [
    `channel ${stats.channel}`,
    ...directories.map(
      ({ path, index, spares, freeBytes }) =>
        `  directory ${index === undefined ? "?" : index + 1}: ${path}, ${formatBytes(freeBytes)} free, ${formatCount(spares, "spare file")}`,
    ),
    `state     ${stateOf(stats)}`,
    `events    ${formatCount(stats.held, "event")} to be delivered, ${formatBytes(stats.bytes)} of segments`,
    `oldest    ${oldest(stats, nowMs)}`,
    `totals    ${formatCount(totals.put, "event")} put, ${formatCount(totals.taken, "event")} delivered, ${formatCount(totals.discarded, "event")} discarded`,
    `sequences ${stats.lowest} is the lowest not delivered, ${stats.nextSequence} the next; ${formatCount(stats.acknowledgedAbove.length, "delivered range")} in between`,
    `segments  ${segments.length}${leftovers > 0 ? `, and ${formatCount(leftovers, "file")} that the next start frees` : ""}`,
    ...segments.map(
      ({ id, path, end, sequences: { first, end: next }, unacknowledged, keyAlias, isNewest }) =>
        `  ${id}${isNewest ? " (newest)" : ""}: ${path}, ${formatBytes(end)}, ${next > first ? `sequences ${first} to ${next - 1}` : "no events"}, ${formatCount(unacknowledged, "event")} to be delivered, ${keyAlias === undefined ? "not encrypted" : `encrypted with ${keyAlias}`}`,
    ),
  ];
}

function stateOf({ inUse, clean, isDamaged }: ChannelStats): string {
  const damaged = isDamaged ? "; damaged, `millrace file-channel verify` says where" : "";
  if (inUse) return `an agent has it open: the picture moves${damaged}`;
  return `${clean ? "closed in order" : "not closed in order; the next start recovers"}${damaged}`;
}

function oldest({ oldestPutMs, held }: ChannelStats, nowMs: number): string {
  if (held === 0) return "nothing is held";
  if (oldestPutMs === undefined) return "not known";
  const age = Math.max(0, nowMs - oldestPutMs) / 1000;
  return `put ${new Date(oldestPutMs).toISOString()}, ${formatSeconds(age)} ago`;
}
