/**
 * First-line patterns that pods give by annotation. Whoever may create a pod writes them, and they
 * run in the agent of the whole node: so only forms are taken whose matching cannot take long. At
 * most `repeatsMax` repetitions, none of them of a group, no look around and no references back; and
 * the agent looks at a line's first `matchedBytesMax` bytes only.
 */
const patternLengthMax = 200;
const repeatsMax = 3;
export const matchedBytesMax = 256;

/** Throws a SyntaxError that says what is not allowed, or not a regular expression. */
export function compileForeignPattern(text: string): RegExp {
  if (text.length > patternLengthMax)
    throw new SyntaxError(`it is longer than ${patternLengthMax} characters`);
  const outside = text.replace(/\\[^\dk]/g, "_").replace(/\[[^\]]*\]/g, "_");
  if (/\(\?(?!:)/.test(outside)) throw new SyntaxError("groups may be plain or (?: ) only");
  if (/\\[\dk]/.test(outside)) throw new SyntaxError("it refers back to a group");
  if (/\)[*+?{]/.test(outside)) throw new SyntaxError("a group may not be repeated");
  const repeats = outside.match(/[*+]|\{\d+,\d*\}/g) ?? [];
  if (repeats.length > repeatsMax)
    throw new SyntaxError(`it has more than ${repeatsMax} repetitions`);
  return new RegExp(text, "u");
}
