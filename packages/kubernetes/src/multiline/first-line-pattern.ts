/**
 * First-line patterns that pods give by annotation. Whoever may create a pod writes them, and they
 * run in the agent of the whole node, on each of the pod's lines: so only those are taken that a line
 * cannot fit in too many ways, all of which a matcher may try before it says no. The agent looks at a
 * line's first `matchedBytesMax` bytes only, no group is repeated, and there is no look around and no
 * reference back; then there are no more ways than the product of these:
 *
 *     not anchored at its beginning   a place to begin at for each byte
 *     x* x+ x{2,}                     a length for each byte
 *     x? x{2,5}                       one for each length, and one more
 *     (a|b|c)                         one for each choice, and one more
 */
const patternLengthMax = 200;
export const matchedBytesMax = 256;
/** A matcher tries so many in a few milliseconds at worst. */
const waysMax = 2 ** 18;

/** What is one character or one place: named and escaped ones, and classes. */
const oneThing = /\\[pPu]\{[^}]*\}|\\[^\dk]|\[(?:\\.|[^\]\\])*\]/gu;
/** What makes ways: groups, choices, repetitions, also those that take as little as they can. */
const branching = /\(\?:|[()|]|(?:[*+?]|\{\d+(?:,\d*)?\})\??/g;

/** Throws a SyntaxError that says what is not allowed, or not a regular expression. */
export function compileForeignPattern(text: string): RegExp {
  if (text.length > patternLengthMax)
    throw new SyntaxError(`it is longer than ${patternLengthMax} characters`);
  const pattern = new RegExp(text, "u");
  const outside = text.replace(oneThing, "_");
  if (/\(\?(?!:)/.test(outside)) throw new SyntaxError("groups may be plain or (?: ) only");
  if (/\\[\dk]/.test(outside)) throw new SyntaxError("it refers back to a group");
  if (/\)[*+?{]/.test(outside)) throw new SyntaxError("a group may not be repeated");
  if (countWays(outside) > waysMax) {
    const advice = "begin it with ^, have two open repetitions at most, and write others as {1,9}";
    throw new SyntaxError(`a line could fit it in too many ways: ${advice}`);
  }
  return pattern;
}

/** The most ways in which one line may be tried; of a pattern in which no group is repeated. */
function countWays(outside: string): number {
  let ways = 1;
  const choices = [1];
  for (const [found] of outside.matchAll(branching)) {
    if (found.startsWith("(")) choices.push(1);
    else if (found === "|") choices.push((choices.pop() ?? 1) + 1);
    else if (found === ")") ways *= waysOf(choices.pop() ?? 1);
    else ways *= waysOf(countLengths(found));
  }
  const [whole = 1] = choices;
  const isAnchored = outside.startsWith("^") && whole === 1;
  return ways * waysOf(whole) * (isAnchored ? 1 : matchedBytesMax);
}

function countLengths(repetition: string): number {
  if (repetition.startsWith("?")) return 2;
  const [, least = "", comma = "", most = ""] = /^\{(\d+)(,?)(\d*)/.exec(repetition) ?? [];
  if (least !== "" && comma === "") return 1;
  return most === ""
    ? matchedBytesMax
    : Math.min(Number(most) - Number(least) + 1, matchedBytesMax);
}

/** Trying one of several costs a step more than having it. */
function waysOf(choices: number): number {
  return choices === 1 || choices === matchedBytesMax ? choices : choices + 1;
}
