import { type EventBatch, type Ranges, splitByRanges } from "@millrace/core";

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
  for (const { from, to, isInside } of splitByRanges(settled, base, piece.batch.length)) {
    yield { part: cutPiece(piece, from, to), isSettled: isInside };
  }
}
