import type { FileHandle, FileSystem } from "@millrace/core";

/** One call with the moments it began and ended, on one count for all calls and notes. */
export interface RecordedCall {
  readonly kind: string;
  readonly path: string;
  readonly begin: number;
  /** Undefined while it runs. */
  end: number | undefined;
  readonly position?: number;
  readonly bytes?: number;
  /** The old path of a rename. */
  readonly from?: string;
}

export interface RecordingFileSystem {
  readonly files: FileSystem;
  readonly calls: readonly RecordedCall[];
  /** The moment now, to be compared with begins and ends. */
  now(): number;
}

/** Passes every call on and keeps when it began and ended, so that a test can judge their order. */
export function recordFiles(inner: FileSystem): RecordingFileSystem {
  const calls: RecordedCall[] = [];
  let moment = 0;
  const record = async <T>(
    kind: string,
    path: string,
    run: () => Promise<T>,
    rest: { position?: number; bytes?: number; from?: string } = {},
  ): Promise<T> => {
    const call: RecordedCall = { kind, path, begin: ++moment, end: undefined, ...rest };
    calls.push(call);
    try {
      return await run();
    } finally {
      call.end = ++moment;
    }
  };
  const recordHandle = (handle: FileHandle, path: string): FileHandle => ({
    read: (into, offset, length, position) =>
      record("read", path, () => handle.read(into, offset, length, position), { position }),
    write: (buffers, position) =>
      record("write", path, () => handle.write(buffers, position), {
        position,
        bytes: buffers.reduce((sum, { length }) => sum + length, 0),
      }),
    datasync: () => record("datasync", path, () => handle.datasync()),
    truncate: (length) => record("truncate", path, () => handle.truncate(length)),
    stat: () => record("stat", path, () => handle.stat()),
    close: () => record("close", path, () => handle.close()),
  });
  const files: FileSystem = {
    open: (path, mode) =>
      record(mode === "create" ? "create" : "open", path, async () =>
        recordHandle(await inner.open(path, mode), path),
      ),
    stat: (path) => record("stat", path, () => inner.stat(path)),
    readDirectory: (path) => record("readDirectory", path, () => inner.readDirectory(path)),
    rename: (from, to) => record("rename", to, () => inner.rename(from, to), { from }),
    unlink: (path) => record("unlink", path, () => inner.unlink(path)),
    makeDirectory: (path) => record("makeDirectory", path, () => inner.makeDirectory(path)),
    syncDirectory: (path) => record("syncDirectory", path, () => inner.syncDirectory(path)),
    freeBytes: (path) => record("freeBytes", path, () => inner.freeBytes(path)),
    totalBytes: (path) => inner.totalBytes(path),
  };
  return { files, calls, now: () => ++moment };
}
