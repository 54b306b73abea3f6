import type { FileHandle, FileSystem } from "@millrace/core";

export interface FailingFiles extends FileSystem {
  /** Operations asked for so far. */
  readonly operations: number;
  /** How many of them failed. */
  readonly failures: number;
  /** Counts as one operation that is not a file's: a commit, say. Throws if it is to fail. */
  step(): void;
}

/**
 * Files on which the operations that `fails` names by number, from 1, throw EIO. A write that fails
 * leaves its first half. `(n) => n === 7` is one failure; `(n) => n >= 7` is a crash at that point: of
 * the process, not of the machine, so nothing is really synced.
 */
export function createFailingFiles(
  files: FileSystem,
  fails: (operation: number) => boolean,
): FailingFiles {
  let operations = 0;
  let failures = 0;
  const step = (): void => {
    operations++;
    if (!fails(operations)) return;
    failures++;
    throw Object.assign(new Error(`EIO: operation ${operations}`), { code: "EIO" });
  };

  function wrap(handle: FileHandle): FileHandle {
    return {
      async read(...given) {
        step();
        return handle.read(...given);
      },
      async write(buffers, position) {
        try {
          step();
        } catch (error) {
          const bytes = Buffer.concat(buffers);
          await handle.write([bytes.subarray(0, bytes.length >> 1)], position);
          throw error;
        }
        return handle.write(buffers, position);
      },
      async datasync() {
        step();
      },
      async truncate(length) {
        step();
        return handle.truncate(length);
      },
      async stat() {
        step();
        return handle.stat();
      },
      // The handle itself is always closed: a test leaks nothing.
      async close() {
        await handle.close();
        step();
      },
    };
  }

  return {
    get operations() {
      return operations;
    },
    get failures() {
      return failures;
    },
    step,
    async open(path, mode) {
      step();
      return wrap(await files.open(path, mode));
    },
    async stat(path) {
      step();
      return files.stat(path);
    },
    async readDirectory(path) {
      step();
      return files.readDirectory(path);
    },
    async rename(from, to) {
      step();
      return files.rename(from, to);
    },
    async link(path, second) {
      step();
      return files.link?.(path, second);
    },
    async unlink(path) {
      step();
      return files.unlink(path);
    },
    async makeDirectory(path) {
      step();
      return files.makeDirectory(path);
    },
    async syncDirectory() {
      step();
    },
    async freeBytes(path) {
      step();
      return files.freeBytes(path);
    },
    totalBytes: (path) => files.totalBytes(path),
  };
}
