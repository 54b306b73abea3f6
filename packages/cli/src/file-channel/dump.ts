import {
  dumpChannel,
  type DumpedDamage,
  type DumpedEvent,
  dumpMoves,
} from "@millrace/file-channel";
import { eventFields } from "./event-line.ts";
import { formatCount } from "./figures.ts";
import { type SubCommand, toolExitCode, UsageError } from "./sub-command.ts";
import { channelUsage, findTarget, keysUsage, parseToolWords } from "./words.ts";

export const dumpCommand: SubCommand = {
  summary: "prints the events, a line of JSON each; writes nothing, delivers nothing",
  usage: `dump <directory>... [--all] [--max <n>] [--from <sequence>] [keys]

${channelUsage}

${keysUsage}
                               without keys the events of encrypted segments are listed, without
                               headers and body
  --all                        delivered events too, as far as their segments are still there
  --max <n>                    events at most
  --from <sequence>            the first sequence that is printed

A body is printed as text ("body") where it is UTF-8 text, else as "base64".

example
  millrace file-channel dump /var/lib/millrace/data --max 3`,
  async run(args, around) {
    const flag = { type: "boolean" } as const;
    const text = { type: "string" } as const;
    const words = parseToolWords(args, { all: flag, max: text, from: text });
    const { directories, keys } = await findTarget(words, around);
    const { output, runtime, interrupted } = around;
    const options = {
      all: words.values["all"] === true,
      max: numberOf(words.values["max"], "max", Number.MAX_SAFE_INTEGER),
      from: numberOf(words.values["from"], "from", 0),
    };
    const context = { runtime, keys, interrupted };
    if (await dumpMoves(directories, context)) {
      output.err("an agent has the channel open: the picture moves while it is printed");
    }
    let events = 0;
    let damaged = 0;
    for await (const item of dumpChannel(directories, options, context)) {
      if (interrupted.aborted) break;
      if (item.kind === "damage") {
        damaged++;
        output.err(damageLine(item));
        continue;
      }
      events++;
      output.out(eventLine(item));
    }
    output.err(`${formatCount(events, "event")}${interrupted.aborted ? ", then interrupted" : ""}`);
    return damaged > 0 ? toolExitCode.wrong : toolExitCode.ok;
  },
};

function eventLine({ sequence, run, putMs, acknowledged, event }: DumpedEvent): string {
  const put = putMs === undefined ? undefined : new Date(putMs).toISOString();
  const content = event === undefined ? { encrypted: true } : eventFields(event);
  return JSON.stringify({ sequence, run, put, acknowledged, ...content });
}

function damageLine({ path, range: { from, to, first, end } }: DumpedDamage): string {
  return `${path} bytes ${from} to ${to - 1} cannot be read: sequences ${first} to ${end - 1} are left out`;
}

/** A whole number of the words. Throws UsageError. */
export function numberOf(given: unknown, name: string, otherwise: number): number {
  if (given === undefined) return otherwise;
  if (typeof given === "string" && /^\d{1,15}$/.test(given)) return Number(given);
  throw new UsageError(`--${name} ${String(given)} is not a whole number`);
}
