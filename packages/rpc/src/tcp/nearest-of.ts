/** The candidate that the name most likely is a slip of; undefined when none is near. */
export function nearestOf(name: string, candidates: Iterable<string>): string | undefined {
  const given = fold(name);
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(given.length / 4)) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(given, fold(candidate));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function fold(name: string): string {
  return name.toUpperCase().replace(/[-_. ]/g, "");
}

/** Letters to add, drop or replace to make one of the other. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] as number) + 1, (next[j - 1] as number) + 1));
    }
    row = next;
  }
  return row[b.length] as number;
}
