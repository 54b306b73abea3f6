import { generationOf } from "@millrace/agent";
import { type FileSystem, type Log, readWholeFile, type Runtime, sleep } from "@millrace/core";

export interface FileWatchOptions {
  /** All of the configuration's files, in their order. */
  readonly paths: readonly string[];
  /** What is known of them: `generation` of the configuration that runs. */
  readonly known: number;
  readonly pollIntervalMs: number;
  readonly runtime: Pick<Runtime, "clock" | "files">;
  readonly log: Log;
  /** Called when the files hold something else, and have come to rest. */
  readonly changed: () => Promise<unknown>;
}

export interface FileWatch {
  stop(): void;
}

/** How long files must stay as they are before they are taken, unless polls come faster. */
const settleMs = 1000;

/**
 * Reads the files every so often and compares what they hold: times may be those of an older file
 * that is put back, and behind a ConfigMap's links every name changes its file at once. What is read
 * twice alike, all of it there, is taken: an editor may be half done.
 */
export function watchFiles(options: FileWatchOptions): FileWatch {
  const { pollIntervalMs, runtime, log, changed } = options;
  const { clock, files } = runtime;
  const stopped = new AbortController();
  let known = options.known;
  let isMissing = false;

  async function look(): Promise<number | undefined> {
    const held = await contentOf(files, options.paths);
    if (held === undefined && !isMissing) {
      log.warn("a configuration file is not there or cannot be read; what runs goes on", {
        files: options.paths,
      });
    }
    isMissing = held === undefined;
    return held;
  }

  /** What the files hold once they have come to rest; undefined when that is nothing new. */
  async function comeToRest(): Promise<number | undefined> {
    let held = await look();
    while (held !== undefined && held !== known && !stopped.signal.aborted) {
      await sleep(clock, Math.min(settleMs, pollIntervalMs), stopped.signal);
      const later = await look();
      if (later === held) return held;
      held = later;
    }
    return undefined;
  }

  async function watch(): Promise<void> {
    while (!stopped.signal.aborted) {
      const held = await comeToRest();
      if (held !== undefined && !stopped.signal.aborted) {
        known = held;
        log.info("the configuration files have changed and are read again");
        await changed();
      }
      await sleep(clock, pollIntervalMs, stopped.signal);
    }
  }

  void watch();
  return { stop: () => stopped.abort() };
}

/** A number of what the files hold; undefined while one of them cannot be read. */
async function contentOf(files: FileSystem, paths: readonly string[]): Promise<number | undefined> {
  try {
    return generationOf(await Promise.all(paths.map((path) => readWholeFile(files, path))));
  } catch {
    return undefined;
  }
}
