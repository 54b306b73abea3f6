import type { FileSystem, Runtime } from "@millrace/core";
import type { KeyProvider } from "../keys/key-provider.ts";

/** How far a long piece of work is. */
export interface Progress {
  /** What is being done, in a word or two. */
  readonly what: string;
  readonly bytes: number;
  /** Of all of it; undefined when nobody knows. */
  readonly bytesTotal: number | undefined;
}

/** What the tools work with. They print nothing. */
export interface ToolContext {
  readonly runtime: Runtime;
  /** Without keys the bodies of encrypted segments are checked, and not opened. */
  readonly keys?: KeyProvider | undefined;
  /** Called at every window that is read; says how far it is. */
  readonly progress?: ((progress: Progress) => void) | undefined;
  /** Work ends at the next record with what it has. */
  readonly interrupted?: AbortSignal | undefined;
}

/** The context's files, where nothing can be written: the tools that only look are given these. */
export function readOnlyFiles(files: FileSystem): FileSystem {
  const refuse = (): Promise<never> => Promise.reject(new Error("a tool that only looks wrote"));
  return {
    open: (path, mode) => (mode === "read" ? files.open(path, "read") : refuse()),
    stat: (path) => files.stat(path),
    readDirectory: (path) => files.readDirectory(path),
    freeBytes: (path) => files.freeBytes(path),
    totalBytes: (path) => files.totalBytes(path),
    rename: refuse,
    unlink: refuse,
    makeDirectory: refuse,
    syncDirectory: refuse,
  };
}
