import { EventBatch, type Origin, type Ranges, splitByRanges } from "@millrace/core";

/**
 * Events of consecutive sequences and one run, in memory. Pieces are immutable; cutting one shares
 * its bytes and shares out its room.
 */
export interface Piece {
  /** Sequence of the first event. */
  readonly sequence: number;
  readonly run: string;
  readonly batch: EventBatch;
  readonly roomBytes: number;
  readonly putTimeMs: number;
}

/** The piece's first `count` events, and the rest. No byte of room is lost between them. */
export function cutPiece(piece: Piece, count: number): { front: Piece; rest: Piece } {
  const share = Math.floor((piece.roomBytes * count) / piece.batch.length);
  return {
    front: { ...piece, batch: piece.batch.slice(0, count), roomBytes: share },
    rest: {
      ...piece,
      sequence: piece.sequence + count,
      batch: piece.batch.slice(count),
      roomBytes: piece.roomBytes - share,
    },
  };
}

/** The piece, whose first event is position `base` of a batch, cut where that batch's ranges end. */
export function* splitPiece(
  piece: Piece,
  base: number,
  settled: Ranges,
): Generator<{ part: Piece; isSettled: boolean }> {
  let left = piece;
  for (const { from, to, isInside } of splitByRanges(settled, base, piece.batch.length)) {
    const count = to - from;
    if (count === left.batch.length) yield { part: left, isSettled: isInside };
    else {
      const { front, rest } = cutPiece(left, count);
      left = rest;
      yield { part: front, isSettled: isInside };
    }
  }
}

/** Whether `next` goes on where `piece` ends, so that one origin covers both. */
export function continuesPiece(piece: Piece, next: Piece): boolean {
  return next.run === piece.run && next.sequence === piece.sequence + piece.batch.length;
}

/** The same events with their origin, which a put does not have yet. Shares the slabs. */
export function withOrigin(batch: EventBatch, origin: Origin): EventBatch {
  let { sequence } = origin;
  const parts = batch.runs.map(({ slab, offsets, from, to }) => {
    const part = EventBatch.fromSlab(slab, offsets.subarray(from, to + 1), {
      run: origin.run,
      sequence,
    });
    sequence += to - from;
    return part;
  });
  return EventBatch.join(parts);
}
