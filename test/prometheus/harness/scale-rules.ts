import assert from "node:assert/strict";
import { parse, stringify } from "yaml";
import { type AlertRule, parseRules } from "./rules.ts";

/** Windows, and `for`. */
const duration = /\b(\d+)(s|m|h|d)\b/g;
/** Ages that rules compare with: five minutes, a quarter of an hour, an hour. */
const age = /([<>] )(300|900|3600)\b/g;
const secondsOf = { s: 1, m: 60, h: 3600, d: 86_400 } as const;

/**
 * The same rules in a time that goes `factor` times as fast: windows, `for` and the ages that they
 * compare with are divided by it, and nothing else is touched.
 */
export function scaleRules(text: string, factor: number): string {
  const rules = parse(text) as { groups: { rules: { expr: string; for?: string }[] }[] };
  for (const rule of rules.groups.flatMap((group) => group.rules)) {
    rule.expr = scale(rule.expr, factor);
    if (rule.for !== undefined) rule.for = scale(rule.for, factor);
  }
  const scaled = stringify(rules);
  assertOnlyTime(parseRules(text), parseRules(scaled), factor);
  return scaled;
}

function scale(text: string, factor: number): string {
  return text
    .replace(duration, (_, count: string, unit: keyof typeof secondsOf) => {
      return `${Math.round((Number(count) * secondsOf[unit] * 1000) / factor)}ms`;
    })
    .replace(age, (_, sign: string, seconds: string) => `${sign}${Number(seconds) / factor}`);
}

function assertOnlyTime(
  before: readonly AlertRule[],
  after: readonly AlertRule[],
  factor: number,
): void {
  const ages = age.source.replaceAll("(300|900|3600)", "([0-9.]+)");
  const isAge = (text: string): boolean => ["300", "900", "3600"].includes(text);
  assert.equal(after.length, before.length);
  before.forEach((rule, index) => {
    const scaled = after[index] as AlertRule;
    const { expr, for: wait, ...rest } = rule;
    const { expr: scaledExpr, for: scaledWait, ...scaledRest } = scaled;
    assert.deepEqual(scaledRest, rest);
    for (const [one, other] of [
      [expr, scaledExpr],
      [wait ?? "", scaledWait ?? ""],
    ] as const) {
      const times = [...one.matchAll(duration)].map(([, n, unit]) => Number(n) * secondsOf[unit as "s"]); // prettier-ignore
      const fast = [...other.matchAll(/\b(\d+)ms\b/g)].map(([, ms]) => Number(ms) / 1000);
      assert.deepEqual(fast.map((seconds) => Math.round(seconds * factor)), times); // prettier-ignore
      const others = [...other.matchAll(new RegExp(ages, "g"))].map(([, , seconds]) => Number(seconds)); // prettier-ignore
      const ours = [...one.matchAll(new RegExp(ages, "g"))].map(([, , seconds]) => (isAge(seconds ?? "") ? Number(seconds) / factor : Number(seconds))); // prettier-ignore
      assert.deepEqual(others, ours);
      const bare = (text: string): string => text.replaceAll(/\b\d+(ms|s|m|h|d)\b/g, "#").replaceAll(new RegExp(ages, "g"), "$1#").trim(); // prettier-ignore
      assert.equal(bare(other), bare(one));
    }
  });
}
