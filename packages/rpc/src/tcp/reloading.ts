import {
  type Clock,
  type FileSystem,
  type Log,
  type MillraceError,
  systemErrorCode,
  toMillraceError,
} from "@millrace/core";

/** What is made of files, and made anew when they change. */
export interface Reloading<T> {
  /** What the files last made. Throws only while they have never made anything. */
  current(): Promise<T>;
  /** What is in use; undefined before anything was made. Looks at no file. */
  peek(): T | undefined;
}

export interface ReloadingOptions<T> {
  readonly paths: readonly string[];
  /** What the files are, for the log: "the server's certificate". */
  readonly what: string;
  readonly read: () => Promise<T>;
  readonly files: FileSystem;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of each change that makes nothing usable. */
  readonly rejected?: () => void;
}

/** How long what is known of the files is believed. */
export const checkIntervalMs = 3000;

/**
 * Looks at the files when it is asked, at most every few seconds: time, length and inode of each. A
 * change that makes nothing usable is said once, and what was there before stays in use. It is tried
 * again at each look: a certificate that is not valid yet will be, and rights change no time of a file.
 */
export function createReloading<T>(options: ReloadingOptions<T>): Reloading<T> {
  const { paths, what, read, files, clock, log, rejected } = options;
  let made: { readonly value: T } | undefined;
  let stamp = "";
  let said = "";
  let checkedAtMs = 0;
  let checking: Promise<T> | undefined;

  async function check(): Promise<T> {
    const found = (await Promise.all(paths.map((path) => stampOf(files, path)))).join();
    if (made !== undefined && found === stamp) {
      checkedAtMs = clock.monotonic();
      return made.value;
    }
    try {
      const value = await read();
      if (made !== undefined) log.info(`${what} has changed and is in use from now on`, { paths });
      made = { value };
      stamp = found;
      said = "";
    } catch (thrown) {
      if (made === undefined) throw thrown;
      reject(found, toMillraceError(thrown));
    }
    checkedAtMs = clock.monotonic();
    return made.value;
  }

  function reject(found: string, { code, message }: MillraceError): void {
    const text = `${what} has changed and cannot be used, the old one stays: ${message}`;
    if (said === found + text) return;
    said = found + text;
    rejected?.();
    log.error(text, { code });
  }

  return {
    current() {
      if (made !== undefined && clock.monotonic() - checkedAtMs < checkIntervalMs) {
        return Promise.resolve(made.value);
      }
      checking ??= check().finally(() => {
        checking = undefined;
      });
      return checking;
    },
    peek: () => made?.value,
  };
}

async function stampOf(files: FileSystem, path: string): Promise<string> {
  try {
    const { size, modifiedMs, inode } = await files.stat(path);
    return `${size}:${modifiedMs}:${inode}`;
  } catch (error) {
    return systemErrorCode(error);
  }
}
