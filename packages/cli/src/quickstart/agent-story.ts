import type { Clock } from "@millrace/core";

/** Picks the lines of an agent's log that the story on the screen tells, in the words it tells them. */
export type StoryFilter = (line: string) => string | undefined;

const quietMs = 5_000;
const comparedLength = 48;
const shownLength = 160;

/** `2026-01-31T12:00:00.000Z WARN  disk ...`, as agents write it. */
const linePattern = /^\S+ (ERROR|WARN|INFO) +(\S+) (.*)$/;
/** Components of the quickstart's configurations whose every word is of interest: group and channel. */
const talkers: ReadonlySet<string> = new Set(["collectors", "disk"]);

/** Trouble of any component, and what the failover group and the channels say; the same not twice at once. */
export function createStoryFilter(clock: Clock): StoryFilter {
  const toldAtMs = new Map<string, number>();
  return (line) => {
    const [, level, component = "", message = ""] = linePattern.exec(line) ?? [];
    if (level === undefined || (level === "INFO" && !talkers.has(component))) return undefined;
    const text = talkers.has(component) ? message : `${component} ${message}`;
    const key = text.slice(0, comparedLength);
    const now = clock.monotonic();
    if (now - (toldAtMs.get(key) ?? -Infinity) < quietMs) return undefined;
    toldAtMs.set(key, now);
    return text.length > shownLength ? `${text.slice(0, shownLength)}...` : text;
  };
}
