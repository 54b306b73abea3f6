import assert from "node:assert/strict";
import { test } from "node:test";
import { createScreen } from "./screen.ts";
import { renderTotals, renderView, type View } from "./view.ts";

const view: View = {
  elapsedMs: 12_345,
  tiers: [
    {
      name: "edge",
      inPerSecond: 10_012,
      outPerSecond: 10_008,
      held: 214,
      oldestSeconds: 0.04,
      state: "active: collector-1",
    },
    {
      name: "collector-1",
      inPerSecond: undefined,
      outPerSecond: undefined,
      held: 1_412,
      oldestSeconds: undefined,
      state: "down",
    },
  ],
  totals: { issued: 118_204, acknowledged: 117_990, distinct: 117_990, duplicates: 0, missing: 0 },
};

void test("the picture has a line for each tier and one for the totals, in columns", () => {
  assert.deepEqual(renderView(view), [
    "",
    "  00:12           in/s   out/s     held    oldest   state",
    "  edge          10,012  10,008      214     0.0 s   active: collector-1",
    "  collector-1        -       -    1,412         -   down",
    "",
    "  read 118,204   acknowledged 117,990   in output 117,990   duplicate 0   missing 0",
    "",
    "  k kill -9 the active collector   s stall the link   r restart   q drain and quit",
    "",
  ]);
});

function collect(
  isTTY: boolean,
  columns = 100,
): { text: () => string; screen: ReturnType<typeof createScreen> } {
  const written: string[] = [];
  const screen = createScreen({ isTTY, columns, write: (text) => written.push(text) });
  return { screen, text: () => written.join("") };
}

void test("on a terminal the picture is drawn again in its place, and the story scrolls above it", () => {
  const { screen, text } = collect(true);
  screen.show(view);
  screen.tell(12_400, "collector-1 killed");
  const up = `\u001B[${renderView(view).length}A\r\u001B[J`;
  const picture = `${renderView(view).join("\n")}\n`;
  assert.equal(text(), `${picture}${up}  00:12  collector-1 killed\n${picture}`);
  screen.finish();
  screen.print("the end");
  assert.equal(text(), `${picture}${up}  00:12  collector-1 killed\n${picture}${up}the end\n`);
});

void test("a line that arrived counts as acknowledged before the position file says so", () => {
  const totals = { issued: 30, acknowledged: 10, distinct: 20, duplicates: 0, missing: 0 };
  assert.match(renderTotals(totals), /acknowledged 20 +in output 20 /);
});

void test("a narrow terminal cuts lines, so that the picture keeps its height", () => {
  const { screen, text } = collect(true, 20);
  screen.show(view);
  assert.ok(
    text()
      .split("\n")
      .every((line) => line.length <= 20),
    text(),
  );
});

void test("in a pipe there are no escape sequences, and totals every two seconds", () => {
  const { screen, text } = collect(false);
  for (const elapsedMs of [0, 1_000, 1_999, 2_000, 3_900]) screen.show({ ...view, elapsedMs });
  screen.tell(3_950, "draining");
  const totals =
    "read 118,204   acknowledged 117,990   in output 117,990   duplicate 0   missing 0";
  assert.equal(text(), `  00:00  ${totals}\n  00:02  ${totals}\n  00:03  draining\n`);
});
