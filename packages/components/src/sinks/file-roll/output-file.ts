import {
  type EventBatch,
  type EventSerializer,
  type FileHandle,
  type FileSystem,
  writeFully,
} from "@millrace/core";

/** By their paths: what a sink of this process removes is never what another one writes. */
const beingWritten = new Set<string>();

export function isBeingWritten(path: string): boolean {
  return beingWritten.has(path);
}

/**
 * One file being written. It knows up to where it is synced: everything before is promised, and
 * whatever a failed write left behind is cut off again.
 */
export class OutputFile {
  readonly path: string;
  readonly #files: FileSystem;
  readonly #handle: FileHandle;
  readonly #serializer: EventSerializer;
  readonly #header: Buffer;
  #syncedBytes = 0;
  #usable = true;

  constructor(files: FileSystem, path: string, handle: FileHandle, serializer: EventSerializer) {
    this.#files = files;
    this.path = path;
    this.#handle = handle;
    this.#serializer = serializer;
    this.#header = serializer.header();
    beingWritten.add(path);
  }

  /** False once nothing is known of the file's end any more; then it is never written again. */
  get usable(): boolean {
    return this.#usable;
  }

  get bytes(): number {
    return this.#syncedBytes;
  }

  /** Resolves when the whole batch is stored. When it throws, none of it counts as delivered. */
  async append(batch: EventBatch): Promise<void> {
    const buffers = this.#syncedBytes === 0 ? [this.#header] : [];
    for (const event of batch) this.#serializer.write(event, buffers);
    await this.#store(buffers);
  }

  /** Ends and closes the file. One that holds nothing delivered is removed. */
  async close(): Promise<void> {
    try {
      if (this.#usable && this.#syncedBytes > 0) {
        const footer = this.#serializer.footer();
        if (footer.length > 0) await this.#store([footer]);
      }
    } finally {
      beingWritten.delete(this.path);
      await this.#handle.close();
      if (this.#syncedBytes === 0) await this.#files.unlink(this.path);
    }
  }

  async #store(buffers: readonly Buffer[]): Promise<void> {
    let bytes = 0;
    for (const { length } of buffers) bytes += length;
    try {
      await writeFully(this.#handle, buffers, this.#syncedBytes);
    } catch (error) {
      await this.#cutOff();
      throw error;
    }
    try {
      await this.#handle.datasync();
    } catch (error) {
      // The kernel may have dropped what it could not write: a second sync would lie.
      this.#usable = false;
      throw error;
    }
    this.#syncedBytes += bytes;
  }

  /** Removes what a failed write left, so that the retry does not stand behind half a batch. */
  async #cutOff(): Promise<void> {
    try {
      await this.#handle.truncate(this.#syncedBytes);
    } catch {
      this.#usable = false;
    }
  }
}
