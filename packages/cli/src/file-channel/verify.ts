import { type Finding, verifyChannel, type VerifyReport } from "@millrace/file-channel";
import { formatBytes, formatCount } from "./figures.ts";
import { createProgressBar } from "./progress.ts";
import { type SubCommand, toolExitCode } from "./sub-command.ts";
import { channelUsage, findTarget, keysUsage, parseToolWords } from "./words.ts";

export const verifyCommand: SubCommand = {
  summary: "reads everything and says exactly what is damaged; writes nothing",
  usage: `verify <directory>... [--json] [keys]

${channelUsage}

${keysUsage}
                               without keys the events of an encrypted channel are checked, not opened
  --json                       one object on standard output

example
  millrace file-channel verify /var/lib/millrace/data

exit codes
  0  sound   1  damaged   2  could not look`,
  async run(args, around) {
    const words = parseToolWords(args, { json: { type: "boolean" } });
    const { directories, keys } = await findTarget(words, around);
    const { runtime, screen, interrupted, output } = around;
    const bar = createProgressBar(runtime.clock, screen);
    const progress = bar.update.bind(bar);
    const report = await verifyChannel(directories, {
      runtime,
      keys,
      progress,
      interrupted,
    }).finally(() => bar.clear());
    if (words.values["json"] === true) output.out(JSON.stringify(report, undefined, 2));
    else for (const line of describe(report)) output.out(line);
    return report.isSound ? toolExitCode.ok : toolExitCode.wrong;
  },
};

function describe(report: VerifyReport): string[] {
  const { channel, directories, segments, bytes, held, findings, inUse, sealedSegments } = report;
  const damage = findings.filter(({ isDamage }) => isDamage);
  const rest = findings.filter(({ isDamage }) => !isDamage);
  return [
    `channel ${channel} in ${directories.join(", ")}`,
    ...(inUse
      ? ["an agent has it open: the picture moves, and what it writes just now is not judged"]
      : []),
    `read ${formatCount(segments, "segment")}, ${formatBytes(bytes)}; ${formatCount(held, "event")} to be delivered`,
    ...(sealedSegments > 0
      ? [
          `${formatCount(sealedSegments, "segment")} encrypted: checksums were checked, events not opened; give the keys for that`,
        ]
      : []),
    ...damage.map(line),
    ...rest.map(line),
    verdict(report),
  ];
}

function line({ kind, isDamage, says }: Finding): string {
  return `${isDamage ? "DAMAGED" : "note"}  ${kind}: ${says}`;
}

function verdict({ isSound, affected, findings }: VerifyReport): string {
  if (isSound) return "sound";
  const count = findings.filter(({ isDamage }) => isDamage).length;
  const events =
    affected === 0
      ? "no event that is still to be delivered is affected"
      : `${formatCount(affected, "event")} not delivered yet cannot be read`;
  return `damaged in ${formatCount(count, "place")}: ${events}; stop the agent, then \`millrace file-channel repair\` sets it right`;
}
