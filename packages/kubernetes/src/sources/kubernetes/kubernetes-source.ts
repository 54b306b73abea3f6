import {
  expandHome,
  LineReader,
  MillraceError,
  type PollableSource,
  type PollBackoff,
  sleep,
  socketLocks,
  type SourceContext,
  systemErrorCode,
  toMillraceError,
} from "@millrace/core";
import { dirname } from "node:path";
import type { PodDirectory } from "../../pods/pod-directory.ts";
import { podSettings } from "../../pods/pod-settings.ts";
import { Hold } from "../../rotation/hold.ts";
import { ContainerFiles, type FollowContext } from "./container-files.ts";
import { ContainerLog, type ReadContext } from "./container-log.ts";
import { declareLogMetrics } from "./log-metrics.ts";
import type { KubernetesOptions } from "./options.ts";
import { OutgoingBatches } from "./outgoing-batches.ts";
import { PodFinder, parseKey } from "./pod-finder.ts";
import { type OwnPod, PodSelection } from "./pod-selection.ts";
import { loadPositions, type SavedContainer, savePositions } from "./position-file.ts";

/** A container has its turn for so long at most: the others' rotations are not to be missed meanwhile. */
const turnBytesMax = 16 * 1024 * 1024;
/** Bytes that a line of a log has at most beside its text. A JSON text has up to six for one. */
const lineOverheadBytes = 64 * 1024;

/** What the source is given beside options and context; tests give a directory of their own. */
export interface Surroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly acquirePods: (options: KubernetesOptions, context: SourceContext) => Pods;
}

type Pods = Pick<PodDirectory, "peek" | "peekName" | "lookUp" | "release">;

/**
 * Follows the logs of all containers of a node. A position moves only when the batch before it is
 * committed; a batch that a full channel refuses is kept and tried first in the next round, which
 * also keeps an eye on rotation meanwhile.
 */
export async function createKubernetesSource(
  options: KubernetesOptions,
  context: SourceContext,
  surroundings?: Surroundings,
): Promise<PollableSource> {
  const { acquirePodDirectory } = await import("../../pods/pod-directory.ts");
  const { log, runtime } = context;
  return new KubernetesSource(options, context, {
    environment: process.env,
    acquirePods: () => acquirePodDirectory(podSettings(options), runtime, log),
    ...surroundings,
  });
}

class KubernetesSource implements PollableSource {
  readonly pollBackoff: PollBackoff;
  readonly #options: KubernetesOptions;
  readonly #context: SourceContext;
  readonly #surroundings: Surroundings;
  readonly #positionFile: string;
  readonly #finder: PodFinder;
  readonly #outgoing: OutgoingBatches;
  readonly #reader: LineReader;
  readonly #follow: FollowContext;
  readonly #read: ReadContext;
  readonly #containers = new Map<string, ContainerLog>();
  /** Of the last run, and not found so far. */
  readonly #saved = new Map<string, SavedContainer>();
  #selection: PodSelection | undefined;
  #pods: Pods | undefined;
  #stopped = new AbortController();
  #isStarted = false;
  #isFirstRound = true;
  #firstTurn = 0;
  #hasNews = false;
  #savedAtMs = 0;
  #isSaveFailing = false;
  /** Containers that are not read; one that is read again begins at its end. */
  #excluded: ReadonlySet<string> = new Set();
  /** Containers of which something was read since the last batch was closed. */
  readonly #touched = new Set<ContainerLog>();
  #isRootFailing = false;

  constructor(options: KubernetesOptions, context: SourceContext, surroundings: Surroundings) {
    const maxMs = options.maxBackoffSleepMs;
    const { clock, files } = context.runtime;
    this.pollBackoff = { incrementMs: Math.min(options.backoffSleepIncrementMs, maxMs), maxMs };
    this.#options = options;
    this.#context = context;
    this.#surroundings = surroundings;
    this.#positionFile = expandHome(options.positionFile, context.home);
    this.#finder = new PodFinder(clock, files, options.path);
    this.#outgoing = new OutgoingBatches(options.batchSize, context);
    this.#reader = new LineReader(options.maxLineBytes * 6 + lineOverheadBytes, "LF");
    const metrics = declareLogMetrics(context.metrics);
    const { link } = files;
    const { locks = socketLocks } = context.runtime;
    const hold =
      options.hold && link !== undefined
        ? new Hold({ ...files, link }, options.holdDirectory, locks, context.log)
        : undefined;
    this.#follow = { runtime: context.runtime, log: context.log, metrics, hold };
    this.#read = {
      ...options,
      clock,
      log: context.log,
      counters: context.counters,
      metrics,
      reader: this.#reader,
      outgoing: this.#outgoing,
    };
    this.#declareGauges();
  }

  async start(): Promise<void> {
    const { log, runtime } = this.#context;
    const { hold, path, excludeSelf } = this.#options;
    await this.#attempt(`path ${path}`, () => runtime.files.readDirectory(path));
    const saved = await this.#attempt(`positionFile ${this.#positionFile}`, async () => {
      await runtime.files.makeDirectory(dirname(this.#positionFile));
      return loadPositions(runtime.files, this.#positionFile);
    });
    if (hold) {
      const needed = saved.flatMap(({ directory, files }) =>
        files.map(({ inode }) => ({ key: directory, inode })),
      );
      await this.#attempt(`holdDirectory ${this.#options.holdDirectory}`, async () =>
        this.#follow.hold?.start(needed),
      );
    }
    this.#stopped = new AbortController();
    this.#pods = this.#options.podAnnotations
      ? this.#surroundings.acquirePods(this.#options, this.#context)
      : undefined;
    this.#selection = new PodSelection(this.#options, this.#ownPod(), this.#pods, log);
    if (excludeSelf && !this.#selection.knowsSelf) {
      log.warn(
        "excludeSelf cannot tell this agent's own pods: set POD_NAMESPACE and POD_NAME in its environment, or excludeSelf = false",
      );
    }
    this.#saved.clear();
    for (const container of saved) this.#saved.set(container.directory, container);
    this.#isFirstRound = true;
    this.#outgoing.reset();
    this.#touched.clear();
    this.#excluded = new Set();
    this.#isStarted = true;
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    if (!this.#isStarted) return;
    this.#isStarted = false;
    await this.#saveNow();
    const containers = [...this.#containers.values()];
    this.#containers.clear();
    await Promise.all(containers.map(({ files }) => files.stop()));
    await this.#follow.hold?.stop();
    this.#pods?.release();
    this.#pods = undefined;
    this.#reader.clear();
  }

  async poll(signal: AbortSignal): Promise<"ready" | "backoff"> {
    if (signal.aborted || !this.#isStarted) return "backoff";
    this.#reader.clear();
    await this.#look();
    await this.#saveIfDue();
    if (!(await this.#deliver())) return "backoff";
    let hasMore = false;
    let hasRead = false;
    for (const container of this.#inTurn()) {
      if (signal.aborted) break;
      const turn = await this.#turn(container, signal);
      if (turn === "blocked") return "backoff";
      hasMore ||= turn === "more";
      hasRead ||= turn !== "nothing";
    }
    this.#close();
    if (!(await this.#deliver())) return "backoff";
    for (const container of this.#containers.values()) await container.settle();
    await this.#saveIfDue();
    if (hasMore) return "ready";
    if (!hasRead) return "backoff";
    // Caught up: one increment of waiting, so that a busy container gives batches and not single lines.
    await sleep(this.#context.runtime.clock, this.pollBackoff.incrementMs, signal);
    return "ready";
  }

  /** Lets one container fill batches, as far as one turn goes. */
  async #turn(
    container: ContainerLog,
    signal: AbortSignal,
  ): Promise<"nothing" | "read" | "more" | "blocked"> {
    const { maxBatchCount } = this.#options;
    const batchesMax = maxBatchCount > 0 ? maxBatchCount : Infinity;
    let hasRead = false;
    let bytes = 0;
    for (let batches = 1; !signal.aborted; batches++) {
      if (await container.read()) {
        hasRead = true;
        this.#touched.add(container);
      }
      if (!this.#outgoing.isFull) break;
      bytes += this.#outgoing.byteLength;
      this.#close();
      if (!(await this.#deliver())) return "blocked";
      if (batches >= batchesMax || bytes >= turnBytesMax) return "more";
    }
    return hasRead ? "read" : "nothing";
  }

  #close(): void {
    this.#outgoing.close([...this.#touched]);
    this.#touched.clear();
  }

  /** False when the channels do not take what is pending now. */
  async #deliver(): Promise<boolean> {
    const wasBlocked = this.#outgoing.isBlocked;
    const isTaken = await this.#outgoing.deliver();
    if (!isTaken && !wasBlocked) await this.#saveNow();
    return isTaken;
  }

  /** Each round begins with another container. */
  #inTurn(): ContainerLog[] {
    const readable = [...this.#containers.values()].filter(({ isReadable }) => isReadable);
    const first = readable.length === 0 ? 0 : this.#firstTurn++ % readable.length;
    return [...readable.slice(first), ...readable.slice(0, first)];
  }

  /** Looks at what there is: new and deleted pods, and each container's files. */
  async #look(): Promise<void> {
    const selection = this.#selection;
    if (selection === undefined) return;
    const keys = await this.#find();
    const uids = new Set<string>();
    const excluded = new Set<string>();
    for (const key of keys) {
      const id = parseKey(key);
      if (id === undefined) continue;
      uids.add(id.uid);
      const choice = selection.choose(id, this.#stopped.signal);
      if (choice.read === "no") {
        excluded.add(key);
        await this.#drop(key);
        continue;
      }
      const container = this.#containers.get(key) ?? this.#begin(key, id);
      container.isReadable = choice.read === "yes";
      if (choice.read === "later") continue;
      container.firstLine = choice.firstLine;
      container.channel = choice.channel;
    }
    this.#excluded = excluded;
    selection.keepOnly(uids);
    for (const [key, container] of this.#containers) await this.#lookAt(key, container);
    await this.#keepWithin(this.#options.holdBytes);
    if (!this.#isRootFailing) this.#isFirstRound = false;
  }

  /** The containers that have a directory, are followed, or were by the last run. */
  async #find(): Promise<Set<string>> {
    const keys = new Set([...this.#containers.keys(), ...this.#saved.keys()]);
    try {
      for (const { key } of await this.#finder.find()) keys.add(key);
      this.#isRootFailing = false;
    } catch (error) {
      const { code, message } = toMillraceError(error, "READ_FAILED", this.#options.path);
      if (!this.#isRootFailing) this.#context.log.warn(`${message}; trying again`, { code });
      this.#isRootFailing = true;
    }
    return keys;
  }

  #begin(key: string, id: NonNullable<ReturnType<typeof parseKey>>): ContainerLog {
    const saved = this.#saved.get(key);
    this.#saved.delete(key);
    const place = { key, root: this.#options.path };
    const files = new ContainerFiles(this.#follow, id, place, saved);
    const container = new ContainerLog(this.#read, files);
    const isNew = saved === undefined && this.#isFirstRound && this.#options.skipToEnd;
    container.isSkipped = isNew || this.#excluded.has(key);
    this.#containers.set(key, container);
    this.#hasNews = true;
    return container;
  }

  async #lookAt(key: string, container: ContainerLog): Promise<void> {
    const { files } = container;
    await files.look();
    if (container.isSkipped) await files.skipAll();
    container.isSkipped = false;
    if (files.hasNews) this.#hasNews = true;
    files.hasNews = false;
    if (files.isGone && files.files.length === 0) {
      this.#containers.delete(key);
      this.#hasNews = true;
    }
  }

  /** A container that is not to be read (any more). */
  async #drop(key: string): Promise<void> {
    const container = this.#containers.get(key);
    const saved = this.#saved.get(key);
    if (saved === undefined && container === undefined) return;
    this.#saved.delete(key);
    this.#containers.delete(key);
    this.#hasNews = true;
    await container?.files.leave();
    for (const { inode } of saved?.files ?? []) await this.#follow.hold?.release(key, inode);
  }

  /** Gives up the oldest of the deleted logs that are kept, until the rest are within so many bytes. */
  async #keepWithin(bytesMax: number): Promise<void> {
    const kept = [...this.#containers.values()]
      .flatMap(({ files }) => files.files.map((file) => ({ files, file })))
      .filter(({ file }) => !file.isListed && file.open !== undefined)
      .sort((a, b) => a.file.changedAtMs - b.file.changedAtMs);
    let bytes = kept.reduce((sum, { file }) => sum + file.size, 0);
    for (const { file, files } of kept) {
      if (bytes <= bytesMax) return;
      bytes -= file.size;
      await files.lose(file, "deleted log is over holdBytes");
    }
  }

  async #saveIfDue(): Promise<void> {
    const elapsedMs = this.#context.runtime.clock.monotonic() - this.#savedAtMs;
    const isTime = elapsedMs >= this.#options.writePosIntervalMs;
    if (isTime || (this.#hasNews && !this.#isSaveFailing)) await this.#saveNow();
  }

  /** A position file that cannot be written stops nothing: after a crash more lines come twice. */
  async #saveNow(): Promise<void> {
    if (!this.#hasNews && !this.#outgoing.hasMoved) return;
    const { clock, files } = this.#context.runtime;
    this.#savedAtMs = clock.monotonic();
    const followed = [...this.#containers.values()].map((container) => container.files.toSaved());
    try {
      await savePositions(files, this.#positionFile, [...this.#saved.values(), ...followed]);
      this.#hasNews = false;
      this.#outgoing.hasMoved = false;
      this.#isSaveFailing = false;
    } catch (error) {
      const { code, message } = toMillraceError(error, "WRITE_FAILED", this.#positionFile);
      if (!this.#isSaveFailing) this.#context.log.error(`${message}; trying again`, { code });
      this.#isSaveFailing = true;
    }
  }

  #ownPod(): OwnPod {
    const { environment } = this.#surroundings;
    const value = (name: string): string | undefined => environment[name] || undefined;
    return {
      namespace: value("POD_NAMESPACE"),
      name: value("POD_NAME"),
      uid: value("POD_UID"),
    };
  }

  #declareGauges(): void {
    const { metrics } = this.#context;
    metrics.gauge(
      "millrace_source_backlog_bytes",
      "Bytes of files that are not yet in a channel, as last looked at.",
      () => {
        let bytes = 0;
        for (const { files } of this.#containers.values())
          for (const file of files.files) bytes += file.uncommittedBytes;
        return bytes;
      },
    );
    const help = "Containers of this node, by whether their logs are read.";
    const name = "millrace_source_containers";
    metrics.gauge(name, help, () => this.#containers.size, { state: "followed" });
    metrics.gauge(name, help, () => this.#excluded.size, { state: "excluded" });
  }

  async #attempt<T>(what: string, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (cause) {
      throw cause instanceof MillraceError ? cause : refused(what, cause);
    }
  }
}

function refused(what: string, cause: unknown): MillraceError {
  const code = systemErrorCode(cause);
  const why = cause instanceof Error ? cause.message : String(cause);
  if (code === "ENOENT" || code === "ENOTDIR")
    return new MillraceError("PATH_MISSING", `${what} does not exist; create or mount it`, {
      cause,
    });
  return ["EACCES", "EPERM", "EROFS"].includes(code)
    ? new MillraceError("PERMISSION_DENIED", `${what} is not for this user: ${why}`, { cause })
    : new MillraceError("WRITE_FAILED", `${what}: ${why}`, { cause });
}
