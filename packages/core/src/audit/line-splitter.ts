/** Cuts a growing file into lines. Bytes behind the last line end wait for the rest. */
export interface LineSplitter {
  /** How many bytes wait for their line end. */
  readonly pendingBytes: number;
  push(chunk: Buffer, each: EachLine): void;
}

/**
 * `line` has no line end: no `\n`, nor one `\r` before it. It lies in the reader's buffer and is
 * valid during the call only. `endOffset` is where the next line begins.
 */
export type EachLine = (line: Buffer, startOffset: number, endOffset: number) => void;

const lineFeed = 10;
const carriageReturn = 13;

export function createLineSplitter(startOffset = 0): LineSplitter {
  let pending: Buffer[] = [];
  let pendingBytes = 0;
  let offset = startOffset;

  return {
    get pendingBytes() {
      return pendingBytes;
    },
    push(chunk, each) {
      let from = 0;
      for (;;) {
        const at = chunk.indexOf(lineFeed, from);
        if (at === -1) break;
        let line = chunk.subarray(from, at);
        if (pendingBytes > 0) {
          line = Buffer.concat([...pending, line]);
          pending = [];
          pendingBytes = 0;
        }
        const end = offset + line.length + 1;
        each(line.at(-1) === carriageReturn ? line.subarray(0, -1) : line, offset, end);
        offset = end;
        from = at + 1;
      }
      if (from === chunk.length) return;
      pending.push(Buffer.from(chunk.subarray(from)));
      pendingBytes += chunk.length - from;
    },
  };
}
