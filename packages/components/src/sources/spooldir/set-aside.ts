import {
  type Counter,
  type ErrorCode,
  type MillraceError,
  type SourceContext,
  systemErrorCode,
} from "@millrace/core";
import type { SpoolFile } from "./spool-listing.ts";

/**
 * Files that are left alone until the process starts again, or until another file has their name:
 * one bad file does not stop the others.
 */
export interface SetAside {
  /**
   * Whether the error is about this file only, and would be the same next time. A read that fails
   * is tried again a few times first.
   */
  isDue(file: SpoolFile, error: MillraceError): boolean;
  add(file: SpoolFile, error: MillraceError): void;
  has(file: SpoolFile): boolean;
  /** Forgets the files that are gone. */
  keepOnly(listed: readonly SpoolFile[]): void;
  /** Says once that a file or directory cannot be looked at. */
  warnOnce(path: string, error: unknown): void;
  clear(): void;
}

const reasons: ReadonlyMap<ErrorCode, string> = new Map([
  ["FILE_CHANGED", "changed"],
  ["TARGET_EXISTS", "target_exists"],
  ["UNDECODABLE", "undecodable"],
  ["PERMISSION_DENIED", "unreadable"],
  ["READ_FAILED", "unreadable"],
]);
const readsMax = 5;
/** Not the file's fault. */
const processWide = new Set(["EMFILE", "ENFILE", "ENOMEM"]);

export function createSetAside({ counters, log, metrics }: SourceContext): SetAside {
  const counted = new Map<string, Counter>();
  for (const reason of reasons.values()) {
    const counter = metrics.counter(
      "millrace_source_files_set_aside_total",
      "Files that were given up until the next start, by reason.",
      { reason },
    );
    counted.set(reason, counter);
  }
  const inodes = new Map<string, number>();
  const warned = new Set<string>();
  let failing = { path: "", reads: 0 };

  return {
    isDue(file, error) {
      if (!reasons.has(error.code)) return false;
      counters.EventReadFail++;
      if (error.code !== "READ_FAILED") return true;
      if (processWide.has(systemErrorCode(error.cause))) return false;
      if (failing.path !== file.path) failing = { path: file.path, reads: 0 };
      return ++failing.reads >= readsMax;
    },
    add(file, error) {
      const reason = reasons.get(error.code) ?? error.code;
      inodes.set(file.path, file.stat.inode);
      (counted.get(reason) as Counter).value++;
      log.error(`file set aside until the next start, the others go on: ${error.message}`, {
        code: error.code,
        path: file.path,
        reason,
      });
    },
    has: (file) => inodes.get(file.path) === file.stat.inode,
    keepOnly(listed) {
      const present = new Set(listed.map(({ path }) => path));
      for (const path of inodes.keys()) if (!present.has(path)) inodes.delete(path);
    },
    warnOnce(path, error) {
      if (warned.has(path)) return;
      warned.add(path);
      counters.EventReadFail++;
      log.warn(`left out: ${error instanceof Error ? error.message : String(error)}`, {
        code: "READ_FAILED",
        path,
      });
    },
    clear() {
      inodes.clear();
      warned.clear();
    },
  };
}
