/** Case and the marks `-`, `_` and `.` aside, as names are compared for "did you mean". */
export function foldName(name: string): string {
  return name.toLowerCase().replace(/[-_.]/g, "");
}

/**
 * The candidate that was probably meant: equal when folded, or the fewest slips away, and no more
 * than a third of its letters. Undefined when none is near.
 */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  const folded = foldName(name);
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const candidate of candidates) {
    const other = foldName(candidate);
    const allowed = Math.min(3, Math.max(1, Math.floor(other.length / 3)));
    const distance = slips(folded, other);
    if (distance <= allowed && distance < bestDistance && distance < other.length) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** `; did you mean x?`, or "" when nothing is near. */
export function didYouMean(name: string, candidates: Iterable<string>): string {
  const nearest = nearestName(name, candidates);
  return nearest === undefined ? "" : `; did you mean ${nearest}?`;
}

/**
 * Damerau-Levenshtein distance (optimal string alignment): letters added, left out, replaced, or
 * exchanged with their neighbour.
 */
export function slips(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(
        (last[j] as number) + 1,
        (row[j - 1] as number) + 1,
        (last[j - 1] as number) + (same ? 0 : 1),
      );
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (before[j - 2] as number) + 1);
      }
      row.push(cost);
    }
    before = last;
    last = row;
  }
  return last[b.length] as number;
}
