/**
 * Whether a Java agent has a directory open. It holds `in_use.lock` with fcntl as long as it lives
 * and removes the file when it ends in order. Linux lists such locks in `/proc/locks`:
 *
 *     1: POSIX  ADVISORY  WRITE 12345 fe:01:131074 0 EOF        pid, major:minor (hexadecimal) : inode
 *
 * A process sees there only the locks of processes in its own PID namespace and those inside it.
 */
import { fileExists, type FileSystem } from "@millrace/core";
import { join } from "node:path";

export type JavaLockState = "free" | "held" | "unknown";

export interface JavaLock {
  readonly state: JavaLockState;
  readonly directory: string;
  /** As the end of "whether an agent runs on it ...". */
  readonly why: string;
}

const lockFileName = "in_use.lock";
/** PROC_PID_INIT_INO: the inode of the namespace that sees every process. */
const outermostNamespace = 0xeffffffc;
const procBytesMax = 16 * 1024 * 1024;

export interface LockSurroundings {
  readonly platform: string;
  /** `/proc`. */
  readonly proc: string;
}

/** The state of one directory. Throws nothing for what the system does not tell. */
export async function readJavaLock(
  files: FileSystem,
  directory: string,
  { platform, proc }: LockSurroundings = { platform: process.platform, proc: "/proc" },
): Promise<JavaLock> {
  const path = join(directory, lockFileName);
  const answer = (state: JavaLockState, why: string): JavaLock => ({ state, directory, why });
  if (!(await fileExists(files, path))) return answer("free", `${path} is not there`);
  if (platform !== "linux") {
    return answer("unknown", `cannot be told on ${platform}: ${path} is there`);
  }
  const { device, inode } = await files.stat(path);
  const locks = await readProcFile(files, join(proc, "locks"));
  if (locks === undefined)
    return answer("unknown", `cannot be told: ${proc}/locks is not readable`);
  const onInode = parseLocks(locks).filter((lock) => lock.inode === inode);
  const onFile = onInode.find((lock) => lock.device === deviceText(device));
  if (onFile !== undefined) {
    return answer("held", `is certain: process ${onFile.pid} holds ${path}`);
  }
  const [similar] = onInode;
  if (similar !== undefined) {
    const text = `cannot be told: process ${similar.pid} locks a file with the inode of ${path}, on device ${similar.device}`;
    return answer("unknown", text);
  }
  if (!(await isOutermost(files, proc))) {
    return answer(
      "unknown",
      `cannot be told from inside a container: ${path} is there, and an agent in another one would not be seen`,
    );
  }
  return answer("free", `${path} is left over: nobody locks it`);
}

interface ListedLock {
  readonly pid: string;
  readonly device: string;
  readonly inode: number;
}

function parseLocks(text: string): ListedLock[] {
  const found: ListedLock[] = [];
  const pattern =
    /(?:POSIX|OFDLCK)\s+\S+\s+(?:WRITE|READ)\s+(-?\d+)\s+([0-9a-f]+:[0-9a-f]+):(\d+)/g;
  for (const [, pid = "", device = "", inode = ""] of text.matchAll(pattern)) {
    found.push({ pid, device, inode: Number(inode) });
  }
  return found;
}

/** A device number as the kernel prints it, two hexadecimal digits or more each. */
function deviceText(device: number): string {
  const high = Math.floor(device / 2 ** 32);
  const low = device % 2 ** 32;
  const major = ((low >>> 8) & 0xfff) | (high & ~0xfff);
  const minor = (low & 0xff) | ((low >>> 12) & ~0xff) | 0;
  const hex = (value: number): string => (value >>> 0).toString(16).padStart(2, "0");
  return `${hex(major)}:${hex(minor)}`;
}

async function isOutermost(files: FileSystem, proc: string): Promise<boolean> {
  try {
    return (await files.stat(join(proc, "self/ns/pid"))).inode === outermostNamespace;
  } catch {
    return false;
  }
}

/** A file that says it has no bytes and has some. */
async function readProcFile(files: FileSystem, path: string): Promise<string | undefined> {
  const chunks: Buffer[] = [];
  try {
    const handle = await files.open(path, "read");
    try {
      for (let at = 0; at < procBytesMax;) {
        const chunk = Buffer.alloc(64 * 1024);
        const read = await handle.read(chunk, 0, chunk.length, at);
        if (read === 0) break;
        chunks.push(chunk.subarray(0, read));
        at += read;
      }
    } finally {
      await handle.close();
    }
  } catch {
    return undefined;
  }
  return Buffer.concat(chunks).toString("latin1");
}
