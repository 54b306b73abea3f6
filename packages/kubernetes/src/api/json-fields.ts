/** A field of what was parsed, whatever that is; undefined where there is none. */
export function fieldOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
  return (value as Record<string, unknown>)[name];
}

/** A field that is text; else empty. */
export function textOf(value: unknown, name: string): string {
  const field = fieldOf(value, name);
  return typeof field === "string" ? field : "";
}

/** The elements of a field that is an array; else none. */
export function arrayOf(value: unknown, name: string): readonly unknown[] {
  const field = fieldOf(value, name);
  return Array.isArray(field) ? field : [];
}

/** The entries of a field that is an object of texts; what is no text is left out. */
export function textsOf(value: unknown, name: string): ReadonlyMap<string, string> {
  const field = fieldOf(value, name);
  const texts = new Map<string, string>();
  if (typeof field !== "object" || field === null) return texts;
  for (const [key, text] of Object.entries(field))
    if (typeof text === "string") texts.set(key, text);
  return texts;
}
