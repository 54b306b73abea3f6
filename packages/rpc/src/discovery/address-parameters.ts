import { didYouMean } from "@millrace/core";

/** The parameters behind the `?` of an address. */
export interface Parameters {
  text(name: string): string | undefined;
  /** Of a parameter that may be given several times. */
  texts(name: string): readonly string[];
  word<const W extends string>(name: string, words: readonly W[]): W | undefined;
  /** `500ms`, `30s`, `5m`, `1h`; a bare number is seconds. */
  durationMs(name: string, minMs: number, maxMs: number): number | undefined;
}

const unitMs = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** `500ms`, `30s`, `5m`, `1h`, or a bare number of seconds, in milliseconds; undefined for others. */
export function parseDurationMs(text: string): number | undefined {
  const match = /^(\d{1,9})(ms|s|m|h)?$/.exec(text);
  if (match === null) return undefined;
  return Number(match[1]) * unitMs[(match[2] ?? "s") as keyof typeof unitMs];
}

/** Calls `refuse`, which throws, for a name that is not known, given twice, or without a value. */
export function parseParameters(
  query: string,
  known: readonly string[],
  refuse: (why: string) => never,
  repeatable: readonly string[] = [],
): Parameters {
  const given = new URLSearchParams(query);
  for (const [name, value] of given) {
    if (!known.includes(name)) {
      refuse(`"${name}" is not known${didYouMean(name, known)}; known are ${known.join(", ")}`);
    }
    if (value.trim() === "") refuse(`${name} has no value`);
    if (!repeatable.includes(name) && given.getAll(name).length > 1)
      refuse(`${name} is given twice`);
  }
  const text = (name: string): string | undefined => given.get(name)?.trim();
  return {
    text,
    texts: (name) => given.getAll(name).map((value) => value.trim()),
    word(name, words) {
      const value = text(name);
      if (value === undefined) return undefined;
      return (
        words.find((word) => word === value) ??
        refuse(`${name} is ${words.join(" or ")}, not "${value}"`)
      );
    },
    durationMs(name, minMs, maxMs) {
      const value = text(name);
      if (value === undefined) return undefined;
      const ms = parseDurationMs(value);
      if (ms === undefined) {
        return refuse(`${name} is a time such as 30s, 5m or 500ms, not "${value}"`);
      }
      if (ms < minMs || ms > maxMs) {
        refuse(`${name} is from ${minMs / 1000}s to ${maxMs / 1000}s, not "${value}"`);
      }
      return ms;
    },
  };
}
