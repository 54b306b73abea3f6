import { type Log, silentLog } from "@millrace/core";
import { drainChannel, type DrainReport } from "@millrace/file-channel";
import { numberOf } from "./dump.ts";
import type { ExitCode } from "../exit-code.ts";
import { formatBytes, formatCount } from "./figures.ts";
import { createProgressBar } from "./progress.ts";
import { openReceiver, openRpcReceiver } from "./receivers.ts";
import { type SubCommand, type Surroundings, toolExitCode, UsageError } from "./sub-command.ts";
import { channelUsage, findTarget, keysUsage, parseToolWords } from "./words.ts";

const firstWaitMs = 500;
const longestWaitMs = 30_000;

export const drainCommand: SubCommand = {
  summary: "empties a channel whose agent is gone into another agent or a file",
  usage: `drain <directory>... --to <receiver> [--max <n>] [keys]

${channelUsage}

${keysUsage}
  --to avro://host:port        an Avro source; several by avro://one:4141,two:4141 stand in for each
                               other. thrift://host:port and grpc://host:port do as well
  --to file:<path>             appended to the file, a line of JSON an event (headers and body, or
                               base64 where it is no text), synced before it is settled
  --rpcProps <file>            in place of --to: RPC client properties, for TLS and the like
  --max <n>                    events at most; the rest stays

An event leaves the channel when the receiver has acknowledged it. One that does not answer is waited
for; ^C stops in order, and what was not acknowledged stays. Events in doubt may arrive twice.

example
  millrace file-channel drain /var/lib/millrace/data --to avro://collector:4141

exit codes
  0  empty, or --max events delivered   1  stopped by ^C, the rest stays   2  could not go on`,
  async run(args, around) {
    const text = { type: "string" } as const;
    const words = parseToolWords(args, { to: text, max: text, rpcProps: text });
    const { to, rpcProps } = words.values as { to?: string; rpcProps?: string };
    const max = numberOf(words.values["max"], "max", Number.MAX_SAFE_INTEGER);
    const { directories, keys } = await findTarget(words, around);
    if (to === undefined && rpcProps === undefined) throw new UsageError("say where --to drain");
    const receiver =
      to === undefined
        ? openRpcReceiver(rpcProps ?? "", rpcProps ?? "", around)
        : await openReceiver(to, rpcProps, around);
    const { runtime, screen, interrupted, output } = around;
    const bar = createProgressBar(runtime.clock, screen);
    let total = 0;
    let events = 0;
    let bytes = 0;
    try {
      const report = await drainChannel(
        directories,
        receiver,
        { max, firstWaitMs, longestWaitMs },
        {
          ...{ runtime, keys, interrupted },
          log: logTo(around),
          observer: {
            opened(held) {
              total = Math.min(held, max);
              output.err(
                `${formatCount(held, "event")} in the channel; draining to ${receiver.name}`,
              );
            },
            delivered(moreEvents, moreBytes) {
              events += moreEvents;
              bytes += moreBytes;
              const left = `${formatCount(events, "event")} of ${formatCount(total, "event")}`;
              bar.update({ what: "delivered", bytes, bytesTotal: undefined }, left);
            },
            waiting(error, waitMs) {
              bar.clear();
              output.err(
                `${receiver.name} does not take them: ${error.code} ${error.message}; trying again in ${waitMs / 1000} s`,
              );
            },
          },
        },
      );
      bar.clear();
      return tellEnd(report, receiver.name, around);
    } finally {
      bar.clear();
      await receiver.close();
    }
  },
};

function tellEnd(
  report: DrainReport,
  name: string,
  { output, interrupted }: Surroundings,
): ExitCode {
  const { delivered, deliveredBytes, left } = report;
  const rest =
    left === 0 ? "the channel is empty" : `${formatCount(left, "event")} stay in the channel`;
  output.out(
    `${formatCount(delivered, "event")}, ${formatBytes(deliveredBytes)}, delivered to ${name}; ${rest}`,
  );
  return interrupted.aborted && left > 0 ? toolExitCode.wrong : toolExitCode.ok;
}

function logTo({ output }: Surroundings): Log {
  const say = (message: string): void => output.err(message);
  return { ...silentLog, warn: say, error: say };
}
