/**
 * The file operations Millrace uses, each as the system call of that name does it. All errors are
 * Node's system errors (`code` ENOENT, ENOSPC, ...). Implementations: `node-file-system.ts`; in
 * `testing`, one that records, tears and fails.
 */
export interface FileSystem {
  /**
   * `read`: must exist. `write`: must exist, read and write at positions. `create`: must not exist
   * (EEXIST). `append`: created when missing; writes go to the end whatever position is given.
   */
  open(path: string, mode: "read" | "write" | "create" | "append"): Promise<FileHandle>;
  stat(path: string): Promise<FileStat>;
  /** Entry names, in no order. */
  readDirectory(path: string): Promise<DirectoryEntry[]>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** Gives the file a second name, which must not exist (EEXIST); both on one disk (EXDEV). */
  link?(path: string, second: string): Promise<void>;
  /** Makes the directory and its missing parents; existing ones are fine. */
  makeDirectory(path: string): Promise<void>;
  /** Makes the names in a directory durable: fsync on the directory itself. */
  syncDirectory(path: string): Promise<void>;
  /** Bytes that this user may still write on the directory's disk. */
  freeBytes(path: string): Promise<number>;
  /** Size of the directory's disk. */
  totalBytes(path: string): Promise<number>;
}

export interface FileHandle {
  /** Reads up to `length` bytes at `position` into the buffer; fewer at the end of the file. */
  read(into: Buffer, offset: number, length: number, position: number): Promise<number>;
  /** One vectored write at `position`; returns how many bytes were taken, maybe fewer than given. */
  write(buffers: readonly Buffer[], position: number): Promise<number>;
  /** fdatasync: the bytes and the length are stored. After an error nothing is known. */
  datasync(): Promise<void>;
  truncate(length: number): Promise<void>;
  stat(): Promise<FileStat>;
  close(): Promise<void>;
}

export interface FileStat {
  readonly size: number;
  readonly modifiedMs: number;
  readonly device: number;
  readonly inode: number;
  readonly isFile: boolean;
  readonly isDirectory: boolean;
  /** Permission bits; undefined where the file system has none. */
  readonly mode?: number;
}

export interface DirectoryEntry {
  readonly name: string;
  readonly isFile: boolean;
  readonly isDirectory: boolean;
}
