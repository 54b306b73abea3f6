/**
 * Runs simulated crashes in a process of its own, as the test runner's hooks on every promise would
 * take most of the time, and prints what they contained as one line of JSON:
 *
 *     simulate.ts histories <kind> <first seed> <count>
 *     simulate.ts enumerate <variant> <first round> <rounds>
 *     simulate.ts names <variant>
 *
 * Exits with 1, and the seed or the call that repeats it, where a promise was broken.
 */
import {
  enumerateCrashes,
  enumerateNames,
  newEnumerationCounts,
  variants,
} from "../../packages/file-channel/src/crash-enumeration.test.ts";
import { histories, runHistories } from "../../packages/file-channel/src/crash-histories.test.ts";

// Most errors here are answers of the simulated disk: their stacks say nothing.
Error.stackTraceLimit = 4;

const [what, name = "", from = "1", count = "1"] = process.argv.slice(2);

async function simulate(): Promise<unknown> {
  if (what === "histories") {
    const history = histories[name];
    if (history === undefined) throw new Error(`${name} is none of ${Object.keys(histories)}`);
    return runHistories(history, Number(from), Number(count));
  }
  const variant = variants.find((one) => one.name === name);
  if (variant === undefined) throw new Error(`${name} is none of ${variants.map((v) => v.name)}`);
  const counts = newEnumerationCounts();
  if (what === "names") {
    await enumerateNames(variant, counts);
    return counts;
  }
  for (let round = Number(from); round < Number(from) + Number(count); round++) {
    await enumerateCrashes(variant, round, counts);
  }
  return counts;
}

try {
  console.log(JSON.stringify(await simulate()));
} catch (error) {
  console.error(error);
  process.exitCode = 1;
}
