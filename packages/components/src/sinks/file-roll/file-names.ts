import type { Clock } from "@millrace/core";
import type { Options } from "./options.ts";

/**
 * Names in the order in which Flume's path managers give them:
 *
 *   DEFAULT    <prefix><milliseconds of the first name>-<n>[.<extension>]    n from 1
 *   ROLLTIME   <prefix><yyyyMMddHHmmss, local time>-<n>[.<extension>]        n from 1 in each second
 */
export function createFileNames(
  { pathManager, prefix, extension }: Pick<Options, "pathManager" | "prefix" | "extension">,
  clock: Clock,
): { next(): string } {
  const behind = extension === "" ? "" : `.${extension}`;
  let series = pathManager === "DEFAULT" ? String(clock.now()) : "";
  let n = 0;
  return {
    next() {
      if (pathManager === "ROLLTIME") {
        const second = secondText(new Date(clock.now()));
        if (second !== series) n = 0;
        series = second;
      }
      return `${prefix}${series}-${++n}${behind}`;
    },
  };
}

function secondText(time: Date): string {
  const parts = [
    time.getMonth() + 1,
    time.getDate(),
    time.getHours(),
    time.getMinutes(),
    time.getSeconds(),
  ];
  return [time.getFullYear(), ...parts.map((part) => String(part).padStart(2, "0"))].join("");
}
