import { constants, type Stats } from "node:fs";
import {
  type FileHandle as NodeHandle,
  link,
  mkdir,
  open,
  readdir,
  rename,
  stat,
  statfs,
  unlink,
} from "node:fs/promises";
import type { FileHandle, FileStat, FileSystem } from "./file-system.ts";

const flags = {
  read: constants.O_RDONLY,
  write: constants.O_RDWR,
  create: constants.O_RDWR | constants.O_CREAT | constants.O_EXCL,
  append: constants.O_RDWR | constants.O_CREAT | constants.O_APPEND,
} as const;

/** The machine's files, through libuv's thread pool. */
export const nodeFileSystem: FileSystem = {
  open: async (path, mode) => wrapHandle(await open(path, flags[mode], 0o640)),
  stat: async (path) => toFileStat(await stat(path)),
  async readDirectory(path) {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.map((entry) => ({
      name: entry.name,
      isFile: entry.isFile(),
      isDirectory: entry.isDirectory(),
    }));
  },
  rename,
  unlink,
  link,
  async makeDirectory(path) {
    await mkdir(path, { recursive: true, mode: 0o750 });
  },
  async syncDirectory(path) {
    const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },
  async freeBytes(path) {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  },
  async totalBytes(path) {
    const { blocks, bsize } = await statfs(path);
    return blocks * bsize;
  },
};

function wrapHandle(handle: NodeHandle): FileHandle {
  return {
    async read(into, offset, length, position) {
      return (await handle.read(into, offset, length, position)).bytesRead;
    },
    async write(buffers, position) {
      const [only] = buffers;
      if (buffers.length === 1 && only !== undefined) {
        return (await handle.write(only, 0, only.length, position)).bytesWritten;
      }
      return (await handle.writev(buffers, position)).bytesWritten;
    },
    datasync: () => handle.datasync(),
    truncate: (length) => handle.truncate(length),
    stat: async () => toFileStat(await handle.stat()),
    close: () => handle.close(),
  };
}

function toFileStat(stats: Stats): FileStat {
  return {
    size: stats.size,
    modifiedMs: stats.mtimeMs,
    device: stats.dev,
    inode: stats.ino,
    isFile: stats.isFile(),
    isDirectory: stats.isDirectory(),
    mode: stats.mode & 0o777,
  };
}
