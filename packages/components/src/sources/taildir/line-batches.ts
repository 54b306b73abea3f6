import {
  type EventBatch,
  EventBatchBuilder,
  type FileHandle,
  LineReader,
  type LineTaker,
} from "@millrace/core";
import type { TaildirOptions } from "./options.ts";
import type { TailedFile } from "./tailed-file.ts";

/** A batch of long lines ends here, whatever batchSize says. */
const batchBytesMax = 4 * 1024 * 1024;

export interface LineBatch {
  readonly batch: EventBatch;
  /** Where the file's next line begins. */
  readonly end: number;
}

/** Makes batches of files' lines. */
export class LineBatches {
  readonly #options: TaildirOptions;
  readonly #onCut: () => void;
  readonly #lines: LineReader;

  /** `onCut` is called for each part cut off a line that is too long. */
  constructor(options: TaildirOptions, onCut: () => void) {
    this.#options = options;
    this.#onCut = onCut;
    this.#lines = new LineReader(options.maxLineBytes);
  }

  /**
   * The next lines behind the file's position, at most a batch, reading no further than `upTo`.
   * `partial`: there is no whole line; with `isFinal` what there is counts as one. `replaced`: the
   * file does not begin any more as it did. Throws the system's error; then nothing was read.
   */
  async read(
    file: TailedFile,
    handle: FileHandle,
    upTo: number,
    isFinal: boolean,
  ): Promise<LineBatch | "partial" | "replaced"> {
    const builder = new EventBatchBuilder();
    const range = { from: file.position, upTo, isFinal };
    const end = await this.#lines.read(file, handle, range, this.#taker(file, builder));
    if (end === "replaced") return "replaced";
    return builder.length === 0 ? "partial" : { batch: builder.build(), end };
  }

  /** Forgets what it holds, and gives a grown buffer back. */
  clear(): void {
    this.#lines.clear();
  }

  #taker(file: TailedFile, builder: EventBatchBuilder): LineTaker {
    const options = this.#options;
    const onCut = this.#onCut;
    return {
      get isFull() {
        return builder.length >= options.batchSize || builder.byteLength >= batchBytesMax;
      },
      take(line, at, isCut) {
        if (isCut) onCut();
        const headers = file.headers(options);
        if (!options.hasByteOffsetHeader) builder.add(headers.bytes, line);
        else builder.add(new Map([...headers.map, ["byteoffset", String(at)]]), line);
      },
    };
  }
}
