/**
 * Whether a Java agent has a directory open. It takes an fcntl lock on `in_use.lock` there, and loses
 * it at once: to find out whether locks work it opens the file a second time, and closing that drops
 * every lock the process has on it (Log.tryLock, POSIX). What stays is that the file is open as long
 * as the agent lives; when it ends in order it removes it. Linux shows open files:
 *
 *     /proc/<pid>/fd/<n>      the file itself, behind a link; only for processes of the same user, or root
 *     /proc/<pid>/comm        the program's name, "java"
 *
 * A process sees there only those in its own PID namespace and inside it.
 */
import { fileExists, type FileStat, type FileSystem } from "@millrace/core";
import { join } from "node:path";

export type JavaLockState = "free" | "held" | "unknown";

export interface JavaLock {
  readonly state: JavaLockState;
  /** As the end of "whether a Java agent runs on it ...". */
  readonly why: string;
}

export interface LockSurroundings {
  readonly platform: string;
  /** `/proc`. */
  readonly proc: string;
}

const lockFileName = "in_use.lock";
/** PROC_PID_INIT_INO: the inode of the namespace that sees every process. */
const outermostNamespace = 0xeffffffc;
const here: LockSurroundings = { platform: process.platform, proc: "/proc" };

/** The state of one directory. Throws nothing for what the system does not tell. */
export async function readJavaLock(
  files: FileSystem,
  directory: string,
  { platform, proc }: LockSurroundings = here,
): Promise<JavaLock> {
  const path = join(directory, lockFileName);
  const answer = (state: JavaLockState, why: string): JavaLock => ({ state, why });
  if (!(await fileExists(files, path))) return answer("free", `is certain: ${path} is not there`);
  const unknown = (reason: string): JavaLock =>
    answer("unknown", `cannot be told: ${path} is there, and ${reason}`);
  if (platform !== "linux") return unknown(`who has it open is not known on ${platform}`);
  const sought = await files.stat(path);
  const processes = await processIds(files, proc);
  if (!processes.includes("1")) return unknown(`${proc} does not show all processes`);
  const unreadable: string[] = [];
  for (const id of processes) {
    const holds = await hasOpen(files, join(proc, id), sought);
    if (holds === true) return answer("held", `is certain: process ${id} has ${path} open`);
    if (holds === undefined && (await mayBeJava(files, join(proc, id)))) unreadable.push(id);
  }
  const [other] = unreadable;
  if (other !== undefined) {
    return unknown(`the open files of the Java process ${other} may not be looked at by this user`);
  }
  if (!(await isOutermost(files, proc))) {
    return unknown("an agent in another container would not be seen from inside this one");
  }
  return answer("free", `is certain: ${path} is left over, nobody has it open`);
}

async function processIds(files: FileSystem, proc: string): Promise<string[]> {
  try {
    const entries = await files.readDirectory(proc);
    return entries.map(({ name }) => name).filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

/** Undefined when this process may not know. What ended meanwhile has nothing open. */
async function hasOpen(
  files: FileSystem,
  processPath: string,
  { device, inode }: FileStat,
): Promise<boolean | undefined> {
  const folder = join(processPath, "fd");
  let names: string[];
  try {
    names = (await files.readDirectory(folder)).map(({ name }) => name);
  } catch {
    return (await exists(files, processPath)) ? undefined : false;
  }
  for (const name of names) {
    try {
      const stat = await files.stat(join(folder, name));
      if (stat.inode === inode && stat.device === device) return true;
    } catch {
      // It was closed meanwhile.
    }
  }
  return false;
}

async function exists(files: FileSystem, path: string): Promise<boolean> {
  try {
    return await fileExists(files, path);
  } catch {
    return true;
  }
}

/** Whether a process is called java, or will not say what it is called. */
async function mayBeJava(files: FileSystem, processPath: string): Promise<boolean> {
  const name = Buffer.alloc(16);
  try {
    const handle = await files.open(join(processPath, "comm"), "read");
    try {
      const length = await handle.read(name, 0, name.length, 0);
      return name.toString("latin1", 0, length).trim() === "java";
    } finally {
      await handle.close();
    }
  } catch {
    return await exists(files, processPath);
  }
}

async function isOutermost(files: FileSystem, proc: string): Promise<boolean> {
  try {
    return (await files.stat(join(proc, "self", "ns", "pid"))).inode === outermostNamespace;
  } catch {
    return false;
  }
}
