import { describeLost, openRepair, planRepair, type RepairPlan } from "@millrace/file-channel";
import type { ExitCode } from "../exit-code.ts";
import { formatCount } from "./figures.ts";
import { createProgressBar } from "./progress.ts";
import { type SubCommand, type Surroundings, toolExitCode } from "./sub-command.ts";
import { channelUsage, findTarget, keysUsage, parseToolWords } from "./words.ts";

export const repairCommand: SubCommand = {
  summary: "sets damaged parts aside, says which events are lost, leaves a channel that starts",
  usage: `repair <directory>... [--dry-run] [--yes] [--lost-directory] [keys]

${channelUsage}

${keysUsage}
                               repair needs none; with them it also finds events that do not decrypt
  --dry-run                    says what would be done, and does nothing
  --yes                        does it without asking
  --lost-directory             a directory that is not there, or empty, is given up with what it held

Nothing is deleted: what is given up is copied into set-aside-<time>/ beside it first. The agent
must not run. Killed half way, repair can simply be run again.

example
  millrace file-channel repair /var/lib/millrace/data --dry-run

exit codes
  0  nothing was wrong, or it was repaired   1  not repaired: --dry-run, or the answer was no
  2  could not be done`,
  async run(args, around) {
    const flag = { type: "boolean" } as const;
    const known = { "dry-run": flag, yes: flag, "lost-directory": flag };
    const words = parseToolWords(args, known);
    const { directories, keys } = await findTarget(words, around);
    const { runtime, screen, interrupted } = around;
    const bar = createProgressBar(runtime.clock, screen);
    const context = { runtime, keys, progress: bar.update.bind(bar), interrupted };
    const options = { lostDirectory: words.values["lost-directory"] === true };
    if (words.values["dry-run"] === true) {
      const plan = await planRepair(directories, options, context).finally(() => bar.clear());
      return tellDryRun(plan, around);
    }
    const repair = await openRepair(directories, options, context).finally(() => bar.clear());
    try {
      tellPlan(repair.plan, around);
      if (!repair.plan.isNeeded) return toolExitCode.ok;
      const refused = await ask(words.values["yes"] === true, around);
      if (refused !== undefined) return refused;
      const { setAside } = await repair.run();
      tellDone(repair.plan, setAside, around);
      return toolExitCode.ok;
    } finally {
      await repair.close();
    }
  },
};

function tellDryRun(plan: RepairPlan, around: Surroundings): ExitCode {
  tellPlan(plan, around);
  if (!plan.isNeeded) return toolExitCode.ok;
  around.output.out("nothing was done (--dry-run)");
  return toolExitCode.wrong;
}

function tellPlan(plan: RepairPlan, { output: { out } }: Surroundings): void {
  const { survey, lost, lostCount, steps, guesses, isNeeded } = plan;
  out(`channel ${survey.channel} in ${survey.directories.map(({ path }) => path).join(", ")}`);
  if (!isNeeded) {
    out(`sound: ${formatCount(survey.state.held, "event")} to be delivered, nothing to repair`);
    return;
  }
  if (lostCount === 0) out("lost: no event");
  else out(`lost: ${formatCount(lostCount, "event")} that cannot be read any more`);
  for (const one of lost) out(`  ${describeLost(one)}`);
  out(
    `kept: ${formatCount(survey.state.held - lostCount, "event")}, delivered in order by the next start`,
  );
  for (const guess of guesses) out(`note: ${guess}`);
  out("steps:");
  for (const step of steps) out(`  ${step}`);
}

/** Undefined where it may go on. */
async function ask(yes: boolean, around: Surroundings): Promise<ExitCode | undefined> {
  if (yes) return undefined;
  const { output, confirm, interrupted } = around;
  if (interrupted.aborted) return toolExitCode.wrong;
  const answer = await confirm("Repair it?");
  if (answer === true) return undefined;
  output.err(
    answer === undefined
      ? "nothing was done: there is no terminal to ask on; say --yes to repair, or --dry-run to look"
      : "nothing was done",
  );
  return answer === undefined ? toolExitCode.impossible : toolExitCode.wrong;
}

function tellDone(
  { lostCount }: RepairPlan,
  setAside: readonly string[],
  { output: { out } }: Surroundings,
): void {
  for (const directory of setAside) out(`set aside in ${directory} (read-me.txt says what it is)`);
  const counted =
    lostCount === 0
      ? "no event is lost"
      : `${formatCount(lostCount, "lost event")} counted as discarded`;
  out(`repaired: the channel starts, ${counted}`);
}
