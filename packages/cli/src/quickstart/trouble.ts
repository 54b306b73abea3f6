import type { Clock } from "@millrace/core";

/** Picks the lines of an agent's log that the story should tell: trouble, once in a while. */
export type TroubleFilter = (line: string) => string | undefined;

const quietMs = 5_000;
const comparedLength = 48;
const shownLength = 160;

/** `2026-01-31T12:00:00.000Z WARN  first ...`, as agents write it. */
const troublePattern = /^\S+ (?:WARN|ERROR) +(.*)$/;

export function createTroubleFilter(clock: Clock): TroubleFilter {
  const toldAtMs = new Map<string, number>();
  return (line) => {
    const [, text] = troublePattern.exec(line) ?? [];
    if (text === undefined) return undefined;
    const key = text.slice(0, comparedLength);
    const now = clock.monotonic();
    if (now - (toldAtMs.get(key) ?? -Infinity) < quietMs) return undefined;
    toldAtMs.set(key, now);
    return text.length > shownLength ? `${text.slice(0, shownLength)}...` : text;
  };
}
