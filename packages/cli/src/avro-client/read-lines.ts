import { MillraceError } from "@millrace/core";

/** Some lines of a text, as bytes, without their ends. */
export interface Lines {
  readonly lines: readonly Buffer[];
  /** Bytes of the text up to the end of the last of them. */
  readonly bytesRead: number;
}

const lineFeed = 0x0a;
const carriageReturn = 0x0d;

/**
 * Cuts a text into lines as java.io.BufferedReader does: at LF, CR or CR LF, the last one also
 * without an end. At most `linesMax` at once; fewer when no more have come yet, so that what
 * someone types does not wait. Throws EVENT_REJECTED for a line over `lineBytesMax`, naming it;
 * the lines before it have been given then.
 */
export async function* readLines(
  chunks: AsyncIterable<Buffer>,
  name: string,
  linesMax: number,
  lineBytesMax: number,
): AsyncGenerator<Lines> {
  const cutter = new LineCutter(name, lineBytesMax);
  for await (const chunk of chunks) yield* cutter.cut(chunk, linesMax);
  yield* cutter.end();
}

class LineCutter {
  readonly #name: string;
  readonly #lineBytesMax: number;
  #pieces: Buffer[] = [];
  #pieceBytes = 0;
  #bytesRead = 0;
  #lineNumber = 1;
  #endedWithReturn = false;

  constructor(name: string, lineBytesMax: number) {
    this.#name = name;
    this.#lineBytesMax = lineBytesMax;
  }

  *cut(chunk: Buffer, linesMax: number): Generator<Lines> {
    let from = 0;
    if (this.#endedWithReturn && chunk[0] === lineFeed) {
      from = 1;
      this.#bytesRead++;
    }
    this.#endedWithReturn = chunk.at(-1) === carriageReturn;
    let lines: Buffer[] = [];
    for (const end of lineEnds(chunk, from)) {
      if (this.#pieceBytes + end - from > this.#lineBytesMax) {
        if (lines.length > 0) yield { lines, bytesRead: this.#bytesRead };
        throw this.#tooLong();
      }
      const isPair = chunk[end] === carriageReturn && chunk[end + 1] === lineFeed;
      const next = end + (isPair ? 2 : 1);
      lines.push(this.#finish(chunk.subarray(from, end), next - end));
      from = next;
      if (lines.length < linesMax) continue;
      yield { lines, bytesRead: this.#bytesRead };
      lines = [];
    }
    if (lines.length > 0) yield { lines, bytesRead: this.#bytesRead };
    if (from < chunk.length) this.#pieces.push(chunk.subarray(from));
    this.#pieceBytes += chunk.length - from;
    if (this.#pieceBytes > this.#lineBytesMax) throw this.#tooLong();
  }

  *end(): Generator<Lines> {
    if (this.#pieceBytes === 0) return;
    const line = this.#finish(Buffer.alloc(0), 0);
    yield { lines: [line], bytesRead: this.#bytesRead };
  }

  /** The line that ends with this piece, whose end has so many bytes. */
  #finish(last: Buffer, endBytes: number): Buffer {
    const line = this.#pieces.length === 0 ? last : Buffer.concat([...this.#pieces, last]);
    this.#pieces = [];
    this.#pieceBytes = 0;
    this.#bytesRead += line.length + endBytes;
    this.#lineNumber++;
    return line;
  }

  #tooLong(): MillraceError {
    return new MillraceError(
      "EVENT_REJECTED",
      `${this.#name}, line ${this.#lineNumber}: over ${this.#lineBytesMax} bytes, more than one request ` +
        "may have; raise maxFrameBytes here (with -P) and at the source, or cut the line",
    );
  }
}

/** Where lines end: the position of each LF, CR, or CR of a CR LF. Looks at each byte once. */
function* lineEnds(chunk: Buffer, start: number): Generator<number> {
  let feed = chunk.indexOf(lineFeed, start);
  let back = chunk.indexOf(carriageReturn, start);
  while (feed >= 0 || back >= 0) {
    if (back >= 0 && (feed < 0 || back < feed)) {
      yield back;
      if (feed === back + 1) feed = chunk.indexOf(lineFeed, feed + 1);
      back = chunk.indexOf(carriageReturn, back + 1);
    } else {
      yield feed;
      feed = chunk.indexOf(lineFeed, feed + 1);
    }
  }
}
