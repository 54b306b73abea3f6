import { cutPiece, type Piece } from "./piece.ts";

/**
 * The events in memory that may be taken, lowest sequence first. What is lent still counts as held
 * until it is forgotten or put back.
 */
export class EventQueue {
  #pieces: Piece[] = [];
  #head = 0;
  #heldBytes = 0;
  #unreadBytes = 0;

  get first(): Piece | undefined {
    return this.#pieces[this.#head];
  }

  /** Bytes that the events here and the lent ones keep alive. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Bytes of the events that may be taken. */
  get unreadBytes(): number {
    return this.#unreadBytes;
  }

  /** Adds events above all that are here. */
  append(piece: Piece): void {
    this.#pieces.push(this.#own(piece));
  }

  /** Up to `max` of the lowest events. */
  take(max: number): Piece[] {
    const taken: Piece[] = [];
    for (let left = max; left > 0;) {
      const piece = this.first;
      if (piece === undefined) break;
      const got = piece.batch.length <= left ? this.#shift(piece) : this.#cut(piece, left);
      taken.push(got);
      left -= got.batch.length;
      this.#unreadBytes -= got.batch.byteLength;
    }
    return taken;
  }

  /** Puts lent events, or a part of them, back in their own place. */
  putBack(piece: Piece): void {
    const owned = this.#own(piece);
    let low = this.#head;
    let high = this.#pieces.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#pieces[middle] as Piece).sequence < owned.sequence) low = middle + 1;
      else high = middle;
    }
    if (low === this.#head && this.#head > 0) this.#pieces[--this.#head] = owned;
    else this.#pieces.splice(low, 0, owned);
  }

  /** The lent piece is not held any more; parts of it that come back are put back afterwards. */
  forget(piece: Piece): void {
    this.#heldBytes -= piece.batch.heldBytes;
  }

  clear(): void {
    this.#pieces = [];
    this.#head = 0;
    this.#heldBytes = 0;
    this.#unreadBytes = 0;
  }

  #own(piece: Piece): Piece {
    const owned = { ...piece, batch: piece.batch.compact() };
    this.#heldBytes += owned.batch.heldBytes;
    this.#unreadBytes += owned.batch.byteLength;
    return owned;
  }

  #shift(piece: Piece): Piece {
    this.#pieces[this.#head] = undefined as never;
    this.#head++;
    if (this.#head > 1024 && this.#head * 2 > this.#pieces.length) {
      this.#pieces = this.#pieces.slice(this.#head);
      this.#head = 0;
    }
    return piece;
  }

  /** The front of the first piece; what is left is copied out where under half of it is alive. */
  #cut(piece: Piece, count: number): Piece {
    const front = cutPiece(piece, 0, count);
    const rest = cutPiece(piece, count);
    const kept = { ...rest, batch: rest.batch.compact() };
    this.#pieces[this.#head] = kept;
    this.#heldBytes += front.batch.heldBytes + kept.batch.heldBytes - piece.batch.heldBytes;
    return front;
  }
}
