import { MillraceError } from "@millrace/core";
import { Duplex } from "node:stream";
import { constants, createDeflate, createInflate, type Deflate, type Inflate } from "node:zlib";

/** What Flume's server compresses with, whatever the client does. */
export const serverDeflateLevel = 6;

/**
 * Flume's compression: one zlib stream (RFC 1950) in each direction for the whole connection. Every
 * burst of writes ends in a flush that leaves `00 00 ff ff`, so that the peer can read it at once;
 * the end of a direction is the end of its zlib stream.
 *
 *     write -> deflate -> below          below -> inflate -> read
 *
 * While nobody reads, nothing is inflated: of a stream that would expand without end no more than a
 * few chunks are held, and what is below is not read either. The reading side may end without the
 * end of the zlib stream: Java closes that way.
 */
export function createDeflateStream(below: Duplex, level: number): Duplex {
  return new DeflateStream(below, level);
}

class DeflateStream extends Duplex {
  readonly #below: Duplex;
  readonly #deflate: Deflate;
  readonly #inflate: Inflate;

  constructor(below: Duplex, level: number) {
    super({ allowHalfOpen: true });
    this.#below = below;
    const { Z_NO_FLUSH, Z_SYNC_FLUSH } = constants;
    this.#deflate = createDeflate({ level, flush: Z_NO_FLUSH });
    this.#inflate = createInflate({ flush: Z_SYNC_FLUSH, finishFlush: Z_SYNC_FLUSH });
    this.#inflate.on("data", (chunk: Buffer) => {
      if (!this.push(chunk)) this.#inflate.pause();
    });
    this.#inflate.on("end", () => this.push(null));
    this.#inflate.on("error", (error) => this.destroy(broken(error)));
    this.#inflate.pause();
    this.#deflate.on("error", (error) => this.destroy(error));
    below.on("error", (error) => this.destroy(error));
    // After a clean end what has come is still inflated and read; a reset is the end at once.
    below.on("close", () => {
      if (!below.readableEnded) this.destroy();
    });
    this.once("end", () => {
      if (below.destroyed) this.destroy();
    });
    this.#deflate.pipe(below);
    below.pipe(this.#inflate);
  }

  override _read(): void {
    this.#inflate.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.#deflate.write(chunk);
    this.#flush(done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    for (const { chunk } of chunks) this.#deflate.write(chunk);
    this.#flush(done);
  }

  override _final(done: () => void): void {
    this.#below.once("finish", done);
    this.#deflate.end();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#below.unpipe(this.#inflate);
    this.#deflate.unpipe(this.#below);
    this.#inflate.destroy();
    this.#deflate.destroy();
    this.#below.destroy();
    done(error);
  }

  #flush(done: () => void): void {
    this.#deflate.flush(constants.Z_SYNC_FLUSH, done);
  }
}

function broken(error: Error): MillraceError {
  return new MillraceError(
    "FRAME_MALFORMED",
    `the deflate stream is broken (${error.message}); check that both sides have compression-type = deflate`,
    { cause: error },
  );
}
