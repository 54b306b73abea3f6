import type { ArrivalTotals } from "@millrace/core";

/** All that one picture of the screen shows. */
export interface View {
  readonly elapsedMs: number;
  readonly tiers: readonly TierRow[];
  readonly totals: TotalsRow;
}

export interface TierRow {
  readonly name: string;
  readonly inPerSecond: number | undefined;
  readonly outPerSecond: number | undefined;
  readonly held: number | undefined;
  readonly oldestSeconds: number | undefined;
  readonly state: string;
}

export interface TotalsRow extends Pick<ArrivalTotals, "issued" | "acknowledged" | "distinct"> {
  readonly duplicates: number;
  readonly missing: number;
}

const keysLine = "k kill -9 the active collector   s stall the link   r restart   q drain and quit";

/** The part of the screen that is drawn again and again. */
export function renderView(view: View): string[] {
  return [
    "",
    heading(view.elapsedMs),
    ...view.tiers.map(tierLine),
    "",
    `  ${renderTotals(view.totals)}`,
    "",
    `  ${keysLine}`,
    "",
  ];
}

export function renderTotals(totals: TotalsRow): string {
  // What is acknowledged is read from the position file, which lags; what has arrived was
  // acknowledged before it left.
  const acknowledged = Math.max(totals.acknowledged, totals.distinct);
  return (
    `read ${number(totals.issued)}   acknowledged ${number(acknowledged)}   ` +
    `in output ${number(totals.distinct)}   duplicate ${number(totals.duplicates)}   ` +
    `missing ${number(totals.missing)}`
  );
}

/** Minutes and seconds since the start, as every line of the story begins. */
export function renderElapsed(elapsedMs: number): string {
  const seconds = Math.floor(elapsedMs / 1000);
  return `${twoDigits(Math.floor(seconds / 60))}:${twoDigits(seconds % 60)}`;
}

export function number(value: number): string {
  return value.toLocaleString("en-US");
}

function heading(elapsedMs: number): string {
  return tableLine(renderElapsed(elapsedMs), "in/s", "out/s", "held", "oldest", "state");
}

function tierLine(tier: TierRow): string {
  return tableLine(
    tier.name,
    maybe(tier.inPerSecond, number),
    maybe(tier.outPerSecond, number),
    maybe(tier.held, number),
    maybe(tier.oldestSeconds, (seconds) => `${seconds.toFixed(1)} s`),
    tier.state,
  );
}

function tableLine(
  name: string,
  inPerSecond: string,
  outPerSecond: string,
  held: string,
  oldest: string,
  state: string,
): string {
  const cells = [inPerSecond.padStart(8), outPerSecond.padStart(8), held.padStart(9)];
  return `  ${name.padEnd(12)}${cells.join("")}${oldest.padStart(10)}   ${state}`;
}

function maybe(value: number | undefined, render: (value: number) => string): string {
  return value === undefined ? "-" : render(value);
}

const twoDigits = (value: number): string => String(value).padStart(2, "0");
