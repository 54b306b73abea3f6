/**
 * How far a taildir source has read each file, from the text of its position file: all before it is
 * committed to the source's channels. Empty when the text is not whole: it is being written.
 */
export function parsePositions(text: string): ReadonlyMap<string, number> {
  try {
    const entries = JSON.parse(text) as { file: string; pos: number }[];
    return new Map(entries.map(({ file, pos }) => [file, pos]));
  } catch {
    return new Map();
  }
}
