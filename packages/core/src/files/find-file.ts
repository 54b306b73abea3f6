import { systemErrorCode } from "../errors/millrace-error.ts";
import type { FileHandle, FileStat, FileSystem } from "../runtime/file-system.ts";
import { readHead } from "./file-identity.ts";

export interface OpenedFile {
  readonly handle: FileHandle;
  readonly stat: FileStat;
  /** Its first bytes. */
  readonly head: Buffer;
}
/** Whether an open file is the one that is meant. */
export type IsWanted = (stat: FileStat, head: Buffer) => boolean;

/** Opens the path to read it; undefined when there is nothing. Throws the system's other errors. */
export async function openIfThere(
  files: FileSystem,
  path: string,
): Promise<FileHandle | undefined> {
  try {
    return await files.open(path, "read");
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Opens the path if its file is wanted; undefined when not, or when there is none. */
export async function openIfWanted(
  files: FileSystem,
  path: string,
  isWanted: IsWanted,
): Promise<OpenedFile | undefined> {
  const handle = await openIfThere(files, path);
  if (handle === undefined) return undefined;
  let opened: OpenedFile | undefined;
  try {
    const stat = await handle.stat();
    const head = await readHead(handle);
    if (isWanted(stat, head)) opened = { handle, stat, head };
  } finally {
    if (opened === undefined) await handle.close().catch(() => {});
  }
  return opened;
}

/** Looks through a directory for a file by its inode, under any name. */
export async function findByInode(
  files: FileSystem,
  directory: string,
  inode: number,
  isWanted: IsWanted,
): Promise<OpenedFile | undefined> {
  for (const { name, isFile } of await files.readDirectory(directory)) {
    const path = pathIn(directory, name);
    if (!isFile || !(await hasInode(files, path, inode))) continue;
    const opened = await openIfWanted(files, path, isWanted);
    if (opened !== undefined) return opened;
  }
  return undefined;
}

async function hasInode(files: FileSystem, path: string, inode: number): Promise<boolean> {
  try {
    return (await files.stat(path)).inode === inode;
  } catch {
    return false;
  }
}

export function pathIn(directory: string, name: string): string {
  return directory === "/" ? `/${name}` : `${directory}/${name}`;
}
