import type { FileHandle, FileStat } from "@millrace/core";
import { SimulatedDirectory, type SimulatedNode } from "./simulated-directory.ts";
import type {
  Boot,
  BootOptions,
  Fault,
  Operation,
  OperationKind,
  SimulatedDisk,
} from "./simulated-disk.ts";
import type { SimulatedFile } from "./simulated-file.ts";

/** What a call does when it is let; `part` is what it may have done when the crash came. */
interface Call<T> {
  readonly kind: OperationKind;
  readonly path: string;
  readonly position?: number;
  readonly bytes?: number;
  run(fault: Fault): T;
  /** Or `maybe`: all of it or nothing. */
  readonly part?: (() => void) | "maybe";
}

/** The file system of one life of the disk. */
export function createSimulatedFileSystem(disk: SimulatedDisk, options: BootOptions): Boot {
  const life = disk.life;
  const inodes = new WeakMap<SimulatedNode, number>();
  const held = new Set<string>();
  let inodeCount = 0;
  let number = 0;
  let crash: (operation: Operation) => void = () => undefined;
  let dead = false;
  const crashed = new Promise<Operation>((resolve) => {
    crash = resolve;
  });

  const call = async <T>(what: Call<T>): Promise<T> => {
    await Promise.resolve();
    if (dead || disk.life !== life) return never();
    number++;
    const { kind, path, position, bytes } = what;
    const operation: Operation = {
      number,
      kind,
      path,
      ...(position === undefined ? {} : { position }),
      ...(bytes === undefined ? {} : { bytes }),
    };
    if (number === options.crashAt) {
      dead = true;
      if (what.part === "maybe") happenMaybe(disk, what);
      else what.part?.();
      crash(operation);
      return never();
    }
    const fault = options.fault?.(operation);
    if (fault === "EIO" && kind !== "datasync" && kind !== "write") throw systemError("EIO", path);
    if (fault === "ENOSPC") throw systemError("ENOSPC", path);
    const result = what.run(fault);
    await Promise.resolve();
    return dead || disk.life !== life ? never() : result;
  };

  const statOf = (node: SimulatedNode): FileStat => {
    let inode = inodes.get(node);
    if (inode === undefined) inodes.set(node, (inode = ++inodeCount));
    return {
      size: node.isDirectory ? 0 : node.length,
      modifiedMs: 0,
      device: 1,
      inode,
      isFile: !node.isDirectory,
      isDirectory: node.isDirectory,
    };
  };
  const need = (path: string): SimulatedNode => {
    const node = disk.find(path);
    if (node === undefined) throw systemError("ENOENT", path);
    return node;
  };
  const directoryOf = (path: string): SimulatedDirectory => {
    const node = need(parentOf(path));
    if (!node.isDirectory) throw systemError("ENOTDIR", path);
    return node;
  };

  const handleOf = (file: SimulatedFile, path: string, append: boolean): FileHandle => ({
    read: (into, offset, length, position) =>
      call({
        kind: "read",
        path,
        position,
        bytes: length,
        run: () => {
          const end = Math.min(file.length, position + length);
          return end <= position ? 0 : file.content.copy(into, offset, position, end);
        },
      }),
    write(buffers, position) {
      const bytes = Buffer.concat(buffers);
      const at = append ? file.length : position;
      return call({
        kind: "write",
        path,
        position: at,
        bytes: bytes.length,
        run: (fault) => {
          const wanted = fault === "short" ? 1 + disk.random.integer(bytes.length) : bytes.length;
          const taken = Math.min(wanted, roomFor(disk, file, at, wanted));
          if (fault === "EIO") {
            // Nobody knows how far it came: often all the way.
            const came = disk.random.integer(2) === 0 ? taken : disk.random.integer(taken + 1);
            file.write(bytes.subarray(0, came), at);
            throw systemError("EIO", path);
          }
          if (taken <= 0 && bytes.length > 0) throw systemError("ENOSPC", path);
          file.write(bytes.subarray(0, taken), at);
          return taken;
        },
        part: () => {
          const taken = Math.min(
            disk.random.integer(bytes.length + 1),
            roomFor(disk, file, at, bytes.length),
          );
          if (taken > 0) file.write(bytes.subarray(0, taken), at);
        },
      });
    },
    datasync: () =>
      call({
        kind: "datasync",
        path,
        run: (fault) => {
          if (fault !== "EIO") return file.sync();
          file.failSync(disk.random);
          throw systemError("EIO", path);
        },
        part: () => {
          if (disk.random.integer(4) === 0) file.sync();
        },
      }),
    truncate: (length) =>
      call({
        kind: "truncate",
        path,
        position: length,
        run: () => file.truncate(length),
        part: () => {
          if (disk.random.integer(2) === 0) file.truncate(length);
        },
      }),
    stat: () => call({ kind: "stat", path, run: () => statOf(file) }),
    close: () => call({ kind: "close", path, run: () => undefined }),
  });

  const files: Boot["files"] = {
    open(path, mode) {
      return call({
        kind: mode === "create" ? "create" : "open",
        path,
        part: "maybe",
        run: () => {
          const node = disk.find(path);
          if (node?.isDirectory === true) throw systemError("EISDIR", path);
          if (node !== undefined) {
            if (mode === "create") throw systemError("EEXIST", path);
            return handleOf(node, path, mode === "append");
          }
          if (mode === "read" || mode === "write") throw systemError("ENOENT", path);
          const file = disk.newFile();
          directoryOf(path).link(nameOf(path), file);
          return handleOf(file, path, mode === "append");
        },
      });
    },
    stat: (path) => call({ kind: "stat", path, run: () => statOf(need(path)) }),
    readDirectory: (path) =>
      call({
        kind: "readDirectory",
        path,
        run: () => {
          const node = need(path);
          if (!node.isDirectory) throw systemError("ENOTDIR", path);
          return [...node.entries].map(([name, child]) => ({
            name,
            isFile: !child.isDirectory,
            isDirectory: child.isDirectory,
          }));
        },
      }),
    rename(from, to) {
      return call({
        kind: "rename",
        path: to,
        part: "maybe",
        run: () => {
          const node = need(from);
          const source = directoryOf(from);
          const target = directoryOf(to);
          const replaced = target.entries.get(nameOf(to));
          if (replaced !== undefined) disk.forget(replaced);
          if (source === target) return source.rename(nameOf(from), nameOf(to), node);
          source.unlink(nameOf(from), node);
          target.link(nameOf(to), node);
        },
      });
    },
    unlink(path) {
      return call({
        kind: "unlink",
        path,
        part: "maybe",
        run: () => {
          const node = need(path);
          disk.forget(node);
          directoryOf(path).unlink(nameOf(path), node);
        },
      });
    },
    makeDirectory(path) {
      return call({
        kind: "makeDirectory",
        path,
        part: "maybe",
        run: () => {
          let at = "";
          for (const name of path.split("/").filter((part) => part !== "")) {
            at += `/${name}`;
            if (disk.find(at) === undefined) directoryOf(at).link(name, new SimulatedDirectory());
          }
        },
      });
    },
    syncDirectory: (path) =>
      call({
        kind: "syncDirectory",
        path,
        run: () => {
          const node = need(path);
          if (node.isDirectory) node.sync();
        },
      }),
    freeBytes: (path) =>
      call({
        kind: "freeBytes",
        path,
        run: () => {
          need(path);
          return Math.max(0, disk.capacityBytes - disk.usedBytes);
        },
      }),
    totalBytes: () => Promise.resolve(disk.capacityBytes),
  };

  return {
    files,
    crashed,
    get operations() {
      return number;
    },
    locks: {
      acquire(directory) {
        if (held.has(directory)) return Promise.resolve(undefined);
        held.add(directory);
        return Promise.resolve({
          release() {
            held.delete(directory);
            return Promise.resolve();
          },
        });
      },
    },
  };
}

/** Bytes that may be written at `position`: inside the file always, behind it while there is room. */
function roomFor(
  disk: SimulatedDisk,
  file: SimulatedFile,
  position: number,
  wanted: number,
): number {
  if (disk.capacityBytes === Infinity) return Infinity;
  const { sectorBytes } = disk;
  const allocated = Math.ceil(file.allocatedBytes / sectorBytes) * sectorBytes;
  const free = disk.freeFor(position + wanted - allocated);
  return allocated + Math.floor(free / sectorBytes) * sectorBytes - position;
}

function happenMaybe(disk: SimulatedDisk, call: Call<unknown>): void {
  if (disk.random.integer(2) === 0) return;
  try {
    call.run(undefined);
  } catch {
    // What would have failed did nothing.
  }
}

function never<T>(): Promise<T> {
  return new Promise(() => undefined);
}

function systemError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
