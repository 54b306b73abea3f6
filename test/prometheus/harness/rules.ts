import { projectRoot } from "@millrace/testing";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";

export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: {
    readonly summary: string;
    readonly description: string;
    readonly runbook_url: string;
  };
}

export const rulesFile = join(projectRoot, "deploy/prometheus/millrace.rules.yaml");

export function readRules(): readonly AlertRule[] {
  return parseRules(readFileSync(rulesFile, "utf8"));
}

export function parseRules(text: string): readonly AlertRule[] {
  const { groups } = parse(text) as { groups: readonly { rules: readonly AlertRule[] }[] };
  return groups.flatMap(({ rules }) => rules);
}
