const secondsDefault = 30;

/** How long a stop may take to deliver what is left: `-Dmillrace.drainSeconds`. */
export function readDrainTime(defines: ReadonlyMap<string, string>): {
  readonly drainMs: number;
  readonly note?: string;
} {
  const given = defines.get("millrace.drainSeconds");
  if (given !== undefined && /^\d{1,6}$/.test(given)) return { drainMs: Number(given) * 1000 };
  const drainMs = secondsDefault * 1000;
  if (given === undefined) return { drainMs };
  const note = `millrace.drainSeconds=${given} is not a whole number; ${secondsDefault} is used`;
  return { drainMs, note };
}
