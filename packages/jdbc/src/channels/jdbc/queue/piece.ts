import type { EventBatch, Ranges } from "@millrace/core";

/** Events of consecutive sequences, in memory. Immutable; cutting one shares its bytes. */
export interface Piece {
  /** Of the first event. */
  readonly sequence: number;
  readonly putTimeMs: number;
  readonly batch: EventBatch;
}

export function endOf({ sequence, batch }: Piece): number {
  return sequence + batch.length;
}

/** The piece's events `[from, to)`. */
export function cutPiece(piece: Piece, from: number, to: number = piece.batch.length): Piece {
  return { ...piece, sequence: piece.sequence + from, batch: piece.batch.slice(from, to) };
}

/** The piece, whose first event is position `base` of a batch, cut where that batch's ranges end. */
export function* splitPiece(
  piece: Piece,
  base: number,
  settled: Ranges,
): Generator<{ part: Piece; isSettled: boolean }> {
  const length = piece.batch.length;
  let at = 0;
  for (const range of settled) {
    const from = Math.max(range.from - base, at);
    const to = Math.min(range.to - base, length);
    if (from >= to) continue;
    if (from > at) yield { part: cutPiece(piece, at, from), isSettled: false };
    yield { part: cutPiece(piece, from, to), isSettled: true };
    at = to;
  }
  if (at < length) yield { part: cutPiece(piece, at), isSettled: false };
}
