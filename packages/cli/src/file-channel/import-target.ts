import {
  createChannelCounters,
  type EventBatch,
  type Log,
  MillraceError,
  noMetrics,
} from "@millrace/core";
import { createFileChannel, type KeyProvider } from "@millrace/file-channel";
import { createRpcClient } from "@millrace/rpc";
import { join } from "node:path";
import type { ImportTarget } from "./import-words.ts";
import type { Surroundings } from "./sub-command.ts";

/** Where the events go. */
export interface OpenTarget {
  /** Resolves when the events are stored there. */
  put(batch: EventBatch): Promise<void>;
  /** Events that are there now, where that is known. */
  readonly size: number | undefined;
  /** The position file's directory, unless another is named. */
  readonly positionPath: string;
  close(): Promise<void>;
}

const transactionBytesMax = 1024 * 1024 * 1024;
const lockWaitMs = 2000;

/** Opens a channel of ours, or connects. `fingerprint` is that of the Java channel. */
export async function openTarget(
  target: ImportTarget,
  keys: KeyProvider | undefined,
  batchSize: number,
  fingerprint: string,
  around: Surroundings,
): Promise<OpenTarget> {
  const log = logTo(around);
  const name = `import-${fingerprint}.position`;
  return target.kind === "channel"
    ? await openChannel(target, keys, batchSize, name, log, around)
    : await connectTo(target.address, batchSize, name, log, around);
}

async function openChannel(
  { dataDirs, activeKey }: ImportTarget & { kind: "channel" },
  keys: KeyProvider | undefined,
  batchSize: number,
  positionName: string,
  log: Log,
  { runtime, home, interrupted, systemProperties }: Surroundings,
): Promise<OpenTarget> {
  let failure: MillraceError | undefined;
  const channel = createFileChannel(
    {
      dataDirs,
      keys,
      activeKey: activeKey === false ? undefined : activeKey,
      // Whatever Java held is to fit; the agent's own limits count when it opens the channel.
      capacity: Number.MAX_SAFE_INTEGER,
      transactionCapacity: batchSize,
      transactionBytesMax,
      lockWaitMs,
      onFatal: (error) => {
        failure = error;
      },
    },
    {
      agent: "import",
      name: "import",
      runtime,
      log,
      metrics: noMetrics,
      home,
      systemProperties,
      counters: createChannelCounters(),
      makePart: (ref) => {
        throw new MillraceError("UNEXPECTED", `a file channel has no ${ref.kind}`);
      },
    },
  );
  const close = (): Promise<void> => channel.stop(new AbortController().signal);
  try {
    await channel.start(interrupted);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    get size() {
      return channel.size;
    },
    positionPath: join(dataDirs[0] as string, positionName),
    close,
    async put(batch) {
      if (failure !== undefined) throw failure;
      const transaction = await channel.beginPut(batch);
      await transaction.commit();
    },
  };
}

async function connectTo(
  address: string,
  batchSize: number,
  positionName: string,
  log: Log,
  { runtime, systemProperties }: Surroundings,
): Promise<OpenTarget> {
  const { clock, random, files } = runtime;
  const client = await createRpcClient(
    { hosts: "h1", "hosts.h1": address, "batch-size": batchSize },
    { clock, random, files, log, systemProperties },
  );
  return {
    size: undefined,
    positionPath: positionName,
    put: (batch) => client.appendBatch(batch),
    close: () => client.close(),
  };
}

/** What is worth a look while the events move. */
function logTo({ output }: Surroundings): Log {
  const silent = (): void => undefined;
  const say = (message: string): void => output.err(message);
  return { debug: silent, info: silent, warn: say, error: say };
}
