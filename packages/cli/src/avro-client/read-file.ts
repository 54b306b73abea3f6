import { type FileSystem, MillraceError, systemErrorCode } from "@millrace/core";

const chunkBytes = 256 * 1024;

export interface OpenFile {
  readonly bytes: number;
  readonly chunks: AsyncIterable<Buffer>;
  close(): Promise<void>;
}

/** Opens a text file. Throws READ_FAILED for one that is missing, a directory, or not readable. */
export async function openFile(files: FileSystem, path: string): Promise<OpenFile> {
  try {
    const handle = await files.open(path, "read");
    const { size, isDirectory } = await handle.stat();
    if (isDirectory) {
      await handle.close();
      throw new MillraceError("READ_FAILED", `${path} is a directory; give it with --dirname`);
    }
    const readChunks = async function* (): AsyncGenerator<Buffer> {
      for (let at = 0; ;) {
        // Lines are views of it: each chunk has memory of its own.
        const chunk = Buffer.allocUnsafeSlow(chunkBytes);
        const read = await handle.read(chunk, 0, chunkBytes, at);
        if (read === 0) return;
        at += read;
        yield chunk.subarray(0, read);
      }
    };
    return { bytes: size, chunks: readChunks(), close: () => handle.close() };
  } catch (error) {
    if (error instanceof MillraceError) throw error;
    throw new MillraceError("READ_FAILED", `${path}: ${reasonOf(error)}`, { cause: error });
  }
}

function reasonOf(error: unknown): string {
  switch (systemErrorCode(error)) {
    case "ENOENT":
      return "there is no such file";
    case "EACCES":
      return "this user may not read it";
    default:
      return (error as Error).message;
  }
}
