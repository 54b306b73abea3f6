import {
  type ComponentKind,
  createSourceCounters,
  type EventBatch,
  isPollable,
  type Log,
  MillraceError,
  noMetrics,
  parseOptions,
  type PartRef,
  type PollableSource,
  type RegistryEntry,
  type Source,
  type SourceContext,
  systemRuntime,
  userHome,
} from "@millrace/core";
import assert from "node:assert/strict";
import { loadRegistry } from "../commands/load-registry.ts";

export interface DirectoryRequest {
  readonly path: string;
  readonly batchSize: number;
  readonly log: Log;
  /** Sends a batch. What it throws ends the reading; the batch is read again the next time. */
  readonly send: (batch: EventBatch) => Promise<void>;
  /** Ends the reading between two batches. */
  readonly giveUp: AbortSignal;
}

/**
 * Sends what the files of a directory hold, with the spooldir source and its defaults: a file is
 * renamed to `.COMPLETED` when its last event was acknowledged, and one that was broken off goes on
 * where it stopped. Resolves when no file is left. Throws what `send` threw, or why a file or the
 * directory cannot be read.
 */
export async function sendDirectory(request: DirectoryRequest): Promise<void> {
  const { path, batchSize, send, giveUp } = request;
  const ending = new AbortController();
  const end = (): void => ending.abort();
  giveUp.addEventListener("abort", end, { once: true });
  if (giveUp.aborted) end();
  let failure: { readonly error: unknown } | undefined;
  const log: Log = {
    ...request.log,
    // What ends the reading is thrown; that the source waits for it is not so.
    warn: (message) => (failure === undefined ? request.log.warn(message) : undefined),
  };
  const source = await createSpooldir(path, batchSize, log, async (batch) => {
    try {
      await send(batch);
    } catch (error) {
      // The source itself would try again for ever.
      failure = { error };
      end();
      throw error;
    }
  });
  try {
    await source.start(giveUp);
    while ((await source.poll(ending.signal)) === "ready");
  } finally {
    giveUp.removeEventListener("abort", end);
    await source.stop(giveUp);
  }
  if (failure !== undefined) throw failure.error;
}

async function createSpooldir(
  spoolDir: string,
  batchSize: number,
  log: Log,
  processEventBatch: (batch: EventBatch) => Promise<void>,
): Promise<PollableSource> {
  const registry = await loadRegistry();
  const context: SourceContext = {
    agent: "avro-client",
    name: "dirname",
    runtime: systemRuntime,
    log,
    metrics: noMetrics,
    home: userHome(),
    systemProperties: new Map(),
    counters: createSourceCounters(),
    channelProcessor: { processEventBatch },
    makePart: (ref: PartRef) => make(registry, ref.kind, ref.type, ref.properties, context),
  };
  const properties = new Map([
    ["spoolDir", spoolDir],
    ["batchSize", String(batchSize)],
  ]);
  const source = await make<Source>(registry, "source", "spooldir", properties, context);
  assert(isPollable(source), "spooldir is polled");
  return source;
}

async function make<T>(
  registry: readonly RegistryEntry[],
  kind: ComponentKind,
  type: string,
  properties: ReadonlyMap<string, string>,
  context: SourceContext,
): Promise<T> {
  const entry = registry.find(
    (candidate) => candidate.kind === kind && candidate.type === type.toLowerCase(),
  );
  assert(entry !== undefined, `this program has no ${kind} ${type}`);
  const definition = await entry.load();
  const { options, problems } = parseOptions(definition.options, properties);
  const [problem] = problems;
  if (problem !== undefined) {
    throw new MillraceError("CONFIG_INVALID", `${kind} ${type}: ${problem.key} ${problem.message}`);
  }
  return (await definition.create(options, context as never)) as T;
}
