import assert from "node:assert/strict";
import test from "node:test";
import { createMetricsRegistry } from "./metrics-registry.ts";

const labels = { component: "k1" };

test("a component that is made anew counts on, and its metrics go away with the last that declared them", () => {
  const registry = createMetricsRegistry();
  const shown = (name: string) => registry.families.get(name)?.samples.map(({ read }) => read());
  const make = (value: number) => {
    const scope = registry.scope();
    const metrics = scope.withLabels(labels);
    const counter = metrics.counter("a_total", "A counter.");
    metrics.gauge("a_gauge", "A gauge.", () => value);
    const histogram = metrics.histogram("a_seconds", "A histogram.");
    return { scope, metrics, counter, histogram };
  };
  const [first, other] = [make(1), registry.scope()];
  other.withLabels({ component: "k2" }).counter("a_total", "A counter.");
  first.counter.value = 5;
  const second = make(2);
  assert.equal(second.counter, first.counter);
  assert.equal(second.histogram, first.histogram);
  assert.deepEqual([shown("a_total"), shown("a_gauge")], [[5, 0], [2]]);
  second.scope.release();
  assert.deepEqual([shown("a_total"), shown("a_gauge")], [[5, 0], [1]], "taken back");
  const third = make(3);
  first.scope.release();
  third.counter.value++;
  assert.deepEqual([shown("a_total"), shown("a_gauge")], [[6, 0], [3]]);
  third.scope.release();
  assert.deepEqual([shown("a_total"), shown("a_gauge"), shown("a_seconds")], [[0], undefined, undefined]); // prettier-ignore
  const late = third.metrics.counter("late_total", "Declared when all is over.");
  late.value++;
  assert.equal(shown("late_total"), undefined);
});

test("a gauge that is declared twice by one component shows the second", () => {
  const registry = createMetricsRegistry();
  const scope = registry.scope();
  for (const value of [1, 2]) scope.withLabels(labels).gauge("a_gauge", "A gauge.", () => value);
  assert.deepEqual(
    registry.families.get("a_gauge")?.samples.map(({ read }) => read()),
    [2],
  );
  scope.release();
  assert.equal(registry.families.has("a_gauge"), false);
});
