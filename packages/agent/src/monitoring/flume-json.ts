import type { CounterGroup } from "@millrace/core";
import { javaDouble } from "./java-double.ts";

/** Attributes that are Java doubles; every other number is a long. */
const doubles: ReadonlySet<string> = new Set(["ChannelFillPercentage"]);

/**
 * What Flume's HTTPMetricsServer answers: `{"SOURCE.r1": {"EventReceivedCount": "5", ...}, ...}`, an
 * object a component, every value as text.
 */
export function flumeJson(groups: readonly CounterGroup[]): string {
  const answer: Record<string, Record<string, string>> = {};
  for (const group of groups) {
    const attributes: Record<string, string> = {
      Type: group.kind,
      StartTime: String(group.startTimeMs),
      StopTime: String(group.stopTimeMs),
    };
    for (const [name, value] of Object.entries(group.read())) {
      const double = typeof value === "number" && doubles.has(name);
      attributes[name] = double ? javaDouble(value) : String(value);
    }
    answer[`${group.kind}.${group.name}`] = attributes;
  }
  return JSON.stringify(answer);
}
