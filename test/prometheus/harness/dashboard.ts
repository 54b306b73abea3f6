import { projectRoot } from "@millrace/testing";
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number }; // prettier-ignore
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly { readonly refId: string; readonly expr: string }[];
}

interface Variable {
  readonly name: string;
  readonly type: string;
  readonly definition?: string;
}

export interface Dashboard {
  readonly uid: string;
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
}

export interface DashboardQuery {
  /** The panel or the variable, and which of its queries. */
  readonly of: string;
  readonly expr: string;
}

export function readDashboard(): Dashboard {
  const text = readFileSync(join(projectRoot, "deploy/grafana/millrace.json"), "utf8");
  return JSON.parse(text) as Dashboard;
}

/** Every query as Grafana sends it when all is chosen; a variable's as the series it picks labels from. */
export function queriesOf({ panels, templating, annotations }: Dashboard): DashboardQuery[] {
  const shown = panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ refId, expr }) => ({ of: `${title} ${refId}`, expr })),
  );
  const variables = templating.list.flatMap(({ name, definition }) => {
    const series = /^label_values\((.*), (\w+)\)$/.exec(definition ?? "");
    return series === null
      ? []
      : [{ of: `$${name}`, expr: `count by (${series[2]}) (${series[1]})` }];
  });
  const notes = annotations.list.map(({ expr }) => ({ of: "annotations", expr }));
  return [...shown, ...variables, ...notes].map(({ of, expr }) => ({ of, expr: fillIn(expr) }));
}

function fillIn(expr: string): string {
  return expr
    .replaceAll("$__rate_interval", "30s")
    .replaceAll("$__range", "5m")
    .replaceAll(/\$(role|agent|instance|component)\b/g, ".*");
}
