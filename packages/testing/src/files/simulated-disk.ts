import type { DirectoryLocks, FileSystem, Random } from "@millrace/core";
import { SimulatedDirectory, type SimulatedNode } from "./simulated-directory.ts";
import { type PowerCut, SimulatedFile } from "./simulated-file.ts";
import { createSimulatedFileSystem } from "./simulated-file-system.ts";

export type OperationKind =
  | "open"
  | "create"
  | "stat"
  | "readDirectory"
  | "rename"
  | "unlink"
  | "makeDirectory"
  | "syncDirectory"
  | "freeBytes"
  | "read"
  | "write"
  | "datasync"
  | "truncate"
  | "close";

/** One call, as a fault or a crash sees it. */
export interface Operation {
  /** Counted from the boot, from 1. */
  readonly number: number;
  readonly kind: OperationKind;
  readonly path: string;
  readonly position?: number;
  readonly bytes?: number;
}

/**
 * `EIO` and `ENOSPC` make the call fail, a write by EIO after any part of it or all was taken;
 * `short` takes part of a write and says so.
 */
export type Fault = "EIO" | "ENOSPC" | "short" | undefined;

export interface Boot {
  readonly files: FileSystem;
  readonly locks: DirectoryLocks;
  /** Calls so far. */
  readonly operations: number;
  /** Resolves with the call that was under way when the crash came. */
  readonly crashed: Promise<Operation>;
}

export interface DiskOptions {
  readonly random: Random;
  /** What is written whole or not at all: 512 or 4096. */
  readonly sectorBytes?: number;
  readonly capacityBytes?: number;
}

export interface BootOptions {
  /** The machine or process dies in this call, which has then happened wholly, partly or not. */
  readonly crashAt?: number;
  readonly fault?: (operation: Operation) => Fault;
}

/**
 * Disks under a process that dies. `boot` gives the file system of one life; after its crash no
 * call of that life ever returns, and `kill` or `powerCut` decides what the next boot finds.
 * Everything follows from the seed.
 */
export class SimulatedDisk {
  readonly random: Random;
  readonly sectorBytes: number;
  readonly root = new SimulatedDirectory();
  capacityBytes: number;
  /** Files that power cuts left torn, so far. */
  tornFiles = 0;
  #boots = 0;
  /** What an unlinked file held: found again in blocks that are allocated but not written. */
  #garbage: Buffer = Buffer.alloc(0);

  constructor({ random, sectorBytes = 512, capacityBytes = Infinity }: DiskOptions) {
    this.random = random;
    this.sectorBytes = sectorBytes;
    this.capacityBytes = capacityBytes;
  }

  /** Which life is running; calls of earlier ones never return. */
  get life(): number {
    return this.#boots;
  }

  boot(options: BootOptions = {}): Boot {
    this.#boots++;
    return createSimulatedFileSystem(this, options);
  }

  /** The process dies, the machine does not: everything written is there, synced or not. */
  kill(): void {
    this.#boots++;
  }

  /**
   * The machine loses power. With `names`, bit n of it says whether the nth change of a name that is
   * not synced is kept, so that a test can try all.
   */
  powerCut(how: PowerCut, names?: number): void {
    this.#boots++;
    let asked = 0;
    const keeps = (): boolean => {
      if (names !== undefined) return (names & (1 << asked++)) !== 0;
      return how === "keep" || (how === "mix" && this.random.integer(2) === 0);
    };
    this.#cut(this.root, how, keeps);
  }

  /** Changes of names that are not synced. */
  get unsyncedNames(): number {
    return unsyncedNamesOf(this.root);
  }

  newFile(): SimulatedFile {
    return new SimulatedFile(this.sectorBytes);
  }

  forget(node: SimulatedNode): void {
    if (!node.isDirectory && node.length > 0) {
      this.#garbage = Buffer.from(node.content.subarray(0, node.length));
    }
  }

  get usedBytes(): number {
    return sizeOf(this.root, this.sectorBytes);
  }

  /**
   * Bytes that can be written at once. What was unlinked or truncated has its blocks until that is
   * stored; when there is too little, the file system stores such changes, as a journal does.
   */
  freeFor(wanted: number): number {
    const free = this.capacityBytes - this.#allocatedBytes();
    if (free >= wanted) return free;
    this.#commit(this.root);
    return Math.max(0, this.capacityBytes - this.#allocatedBytes());
  }

  find(path: string): SimulatedNode | undefined {
    let node: SimulatedNode | undefined = this.root;
    for (const name of path.split("/").filter((part) => part !== "")) {
      if (node === undefined || !node.isDirectory) return undefined;
      node = node.entries.get(name);
    }
    return node;
  }

  /** The file, for a test that looks or damages. */
  file(path: string): SimulatedFile {
    const node = this.find(path);
    if (node === undefined || node.isDirectory) throw new Error(`no file ${path}`);
    return node;
  }

  /** Paths of all files under a directory. */
  paths(under = "/"): string[] {
    const node = this.find(under);
    if (node === undefined || !node.isDirectory) return [];
    const prefix = under.endsWith("/") ? under : `${under}/`;
    return [...node.entries].flatMap(([name, child]) =>
      child.isDirectory ? this.paths(prefix + name) : [prefix + name],
    );
  }

  #allocatedBytes(): number {
    const seen = new Set<SimulatedNode>();
    const add = (directory: SimulatedDirectory): void => {
      for (const node of directory.nodes) {
        if (seen.has(node)) continue;
        seen.add(node);
        if (node.isDirectory) add(node);
      }
    };
    add(this.root);
    let bytes = 0;
    for (const node of seen) {
      if (!node.isDirectory) bytes += roundUp(node.allocatedBytes, this.sectorBytes);
    }
    return bytes;
  }

  #commit(directory: SimulatedDirectory): void {
    directory.sync();
    for (const node of directory.entries.values()) {
      if (node.isDirectory) this.#commit(node);
      else node.commitLength();
    }
  }

  #cut(directory: SimulatedDirectory, how: PowerCut, keeps: () => boolean): void {
    const before = [...directory.entries.values()];
    directory.powerCut(keeps);
    for (const node of new Set([...before, ...directory.entries.values()])) {
      if (node.isDirectory) this.#cut(node, how, keeps);
      else if (node.powerCut(how, this.random, this.#garbage)) this.tornFiles++;
    }
  }
}

function sizeOf(node: SimulatedNode, sectorBytes: number): number {
  if (!node.isDirectory) return roundUp(node.length, sectorBytes);
  let bytes = 0;
  for (const child of node.entries.values()) bytes += sizeOf(child, sectorBytes);
  return bytes;
}

function roundUp(bytes: number, sectorBytes: number): number {
  return Math.ceil(bytes / sectorBytes) * sectorBytes;
}

function unsyncedNamesOf(directory: SimulatedDirectory): number {
  let count = directory.unsyncedChanges;
  for (const node of directory.entries.values()) {
    if (node.isDirectory) count += unsyncedNamesOf(node);
  }
  return count;
}
