import { type Marks, type Runtime, sleep } from "@millrace/core";
import { relative } from "node:path";
import type { QuickstartArguments } from "./arguments.ts";
import { createFleet, type Fleet } from "./fleet.ts";
import { copySamples, findInputs, type Inputs, writeInputsConfig } from "./inputs.ts";
import type { Command } from "./keys.ts";
import { configFiles, createLayout, type Layout, prepareLayout, sampleLogs } from "./layout.ts";
import { createOverdueWatch } from "./overdue.ts";
import { livingProcessIds, writeProcessIds } from "./process-ids.ts";
import { renderReport, type RunReport, runSucceeded } from "./report.ts";
import { createRunAudit, type RunAudit } from "./run-audit.ts";
import type { Screen } from "./screen.ts";
import { number } from "./view.ts";
import { createWriter, type Writer } from "./writer.ts";

export interface QuickstartOptions {
  readonly runtime: Runtime;
  readonly args: QuickstartArguments;
  /** Where `.millrace/quickstart` is made. */
  readonly directory: string;
  readonly screen: Screen;
  /** Commands as they are typed; "quit" also for a signal. */
  readonly onCommand: (each: (command: Command) => void) => void;
  /** Given a way to end all agents at once, for the end of this process. */
  readonly onAgents: (destroy: () => void) => void;
}

const tickMs = 250;
const stuckMs = 30_000;

/** Runs the quickstart to its end; answers the exit code. */
export async function runQuickstart(options: QuickstartOptions): Promise<number> {
  const { runtime, screen, directory } = options;
  const layout = createLayout(directory);
  const living = await livingProcessIds(runtime.files, layout.processIds);
  if (living.length > 0) {
    screen.print(
      `An earlier quickstart of this folder still runs. End it first: kill ${living.join(" ")}`,
    );
    return 1;
  }
  await prepareLayout(layout);
  const inputs = await prepareInputs(options, layout);
  if (inputs.files.length === 0) {
    screen.print(...describeSkipped(inputs), "There is no file to tail.");
    return 1;
  }
  const run = await createRun(options, layout, inputs);
  options.onAgents(() => run.fleet.destroy());
  screen.print("", ...describeSetup(run), "");
  try {
    await run.fleet.start();
    return await untilDone(run);
  } catch (error) {
    screen.finish();
    screen.print(`  ${(error as Error).message}`);
    return 1;
  } finally {
    run.writerStop.abort();
    await run.fleet.stop();
  }
}

interface Run {
  readonly options: QuickstartOptions;
  readonly layout: Layout;
  readonly inputs: Inputs;
  readonly fleet: Fleet;
  readonly audit: RunAudit;
  readonly writer: Writer | undefined;
  readonly writerStop: AbortController;
  readonly elapsedMs: () => number;
}

async function createRun(options: QuickstartOptions, layout: Layout, inputs: Inputs): Promise<Run> {
  const { runtime, args, screen } = options;
  const began = runtime.clock.monotonic();
  const elapsedMs = (): number => runtime.clock.monotonic() - began;
  const sample = args.paths.length === 0;
  const fleet = await createFleet(runtime, {
    layout,
    edgeConfigs: sample ? [configFiles.edge] : [configFiles.edge, layout.inputsConfig],
    tell: (text) => screen.tell(elapsedMs(), text),
    onStarted: (pids) => writeProcessIds(runtime.files, layout.processIds, [process.pid, ...pids]),
  });
  return {
    options,
    layout,
    inputs,
    fleet,
    audit: createRunAudit(runtime.files, inputs.files, layout),
    writer: sample ? createWriter(runtime, { ...args, path: layout.writerLog }) : undefined,
    writerStop: new AbortController(),
    elapsedMs,
  };
}

async function prepareInputs(options: QuickstartOptions, layout: Layout): Promise<Inputs> {
  const { args, runtime } = options;
  if (args.paths.length === 0) return await copySamples(runtime.files, sampleLogs, layout);
  const inputs = await findInputs(runtime.files, args.paths);
  await writeInputsConfig(runtime.files, layout, inputs.files);
  return inputs;
}

async function untilDone(run: Run): Promise<number> {
  const { options, writer, writerStop } = run;
  const quit = new AbortController();
  const commands = createCommands(run, quit);
  options.onCommand(commands.take);
  const writing = writer?.run(writerStop.signal) ?? Promise.resolve();
  const watch = createOverdueWatch(options.runtime.clock);
  const tick = async (): Promise<void> => {
    await run.fleet.poll();
    await run.audit.update();
    show(run, watch.missing(run.audit.judge, run.fleet.calm));
    await sleep(options.runtime.clock, tickMs);
  };
  while (!quit.signal.aborted && !(options.args.once && writer?.finished !== false)) await tick();

  writerStop.abort();
  await writing;
  await commands.idle();
  const drainBeganMs = run.elapsedMs();
  await run.fleet.restore();
  await run.audit.update();
  const marks = run.audit.judge.marks("issued");
  await drain(run, marks, tick);
  const drainedMs = run.elapsedMs() - drainBeganMs;
  await run.fleet.poll();
  const before = { edge: run.fleet.edge.facts, collectors: collectorFacts(run.fleet) };
  await run.fleet.stop();
  return await lastWord(run, marks, { drainedMs, ...before });
}

/** Runs commands one after another, as a restart takes a moment. */
function createCommands(
  { fleet, options, elapsedMs }: Run,
  quit: AbortController,
): { readonly take: (command: Command) => void; readonly idle: () => Promise<void> } {
  let line: Promise<void> = Promise.resolve();
  const act = async (command: Command): Promise<void> => {
    if (quit.signal.aborted) return;
    switch (command) {
      case "kill":
        return await fleet.killActive();
      case "stall":
        return fleet.toggleStall();
      case "restart":
        return await fleet.restart();
      case "quit":
        options.screen.tell(elapsedMs(), "draining; ctrl-c again ends at once");
        quit.abort();
    }
  };
  return {
    take(command) {
      line = line
        .then(() => act(command))
        .catch((error: Error) => options.screen.tell(elapsedMs(), error.message));
    },
    idle: () => line,
  };
}

function show({ options, fleet, audit, elapsedMs }: Run, missing: number): void {
  const tiers = fleet.rows();
  options.screen.show({
    elapsedMs: elapsedMs(),
    tiers,
    totals: { ...audit.judge.totals(), missing },
  });
}

/** Until all that was written before the marks is acknowledged and there, or nothing moves any more. */
async function drain(run: Run, marks: Marks, tick: () => Promise<void>): Promise<void> {
  const { judge } = run.audit;
  let movedAtMs = run.elapsedMs();
  let last = Infinity;
  for (;;) {
    const { unacknowledged, missing } = judge.outstanding(marks);
    const left = unacknowledged + missing;
    if (left === 0) return;
    if (left < last) {
      last = left;
      movedAtMs = run.elapsedMs();
    } else if (run.elapsedMs() - movedAtMs > stuckMs) return;
    await tick();
  }
}

/** Reads every input and output again from the start, now that no agent runs. */
async function lastWord(
  run: Run,
  marks: Marks,
  facts: Pick<RunReport, "drainedMs" | "edge" | "collectors">,
): Promise<number> {
  const { options, layout, inputs } = run;
  const { screen, directory } = options;
  const audit = createRunAudit(options.runtime.files, inputs.files, layout);
  await audit.update();
  const report: RunReport = {
    ...facts,
    verdict: audit.judge.verdict(marks),
    unfinishedLines: audit.unfinishedLines,
    tornLines: audit.tornLines,
    killed: facts.collectors.filter(({ killed }) => killed).length,
    directory,
  };
  screen.finish();
  screen.print(
    "",
    ...renderReport(report),
    `  output ${relative(directory, layout.root)}/out/    next: docs/concepts.md, ` +
      `the seed example: examples/seed/README.md`,
  );
  return runSucceeded(report) ? 0 : 1;
}

const collectorFacts = (fleet: Fleet): RunReport["collectors"] =>
  fleet.collectors.map(({ agent }) => agent.facts);

function describeSetup({ options, layout, inputs, fleet, writer }: Run): string[] {
  const { directory, args } = options;
  const where = (path: string): string => relative(directory, path);
  const reads =
    writer === undefined
      ? `${inputs.files.length} files, tail only: nothing is renamed or written`
      : `./examples/logs (${inputs.files.length - 1} files, copied to ${where(layout.logs)}; ` +
        `a writer adds ${number(args.linesPerSecond)} lines/s)`;
  return [
    `  edge         reads   ${reads}`,
    `               keeps   ${where(layout.state("edge"))}/channel   at least once: taildir -> file -> avro`,
    ...fleet.collectors.map(
      ({ name, port }, index) =>
        `  ${name}  :${port}  -> ${where(layout.out(name))}   priority ${index === 0 ? 10 : 5}`,
    ),
    "  configs      deploy/agents/quickstart/{edge,collector}.conf   copy these",
    ...describeSkipped(inputs),
  ];
}

const skippedShown = 10;

function describeSkipped({ skipped }: Inputs): string[] {
  const lines = skipped
    .slice(0, skippedShown)
    .map(({ path, reason }) => `  skipped      ${path}: ${reason}`);
  if (skipped.length > skippedShown) {
    lines.push(`  skipped      ${skipped.length - skippedShown} more`);
  }
  return lines;
}
