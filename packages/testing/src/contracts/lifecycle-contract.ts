import type { Lifecycle } from "@millrace/core";
import { test, type TestContext } from "node:test";
import { deadlineOver, noDeadline, within } from "./settling.ts";

/** The tests of start and stop that every component passes. */
export function lifecycleContract(
  name: string,
  make: (test: TestContext) => Promise<Lifecycle>,
): void {
  void test(`${name}: stop without start is harmless, once and twice`, async (context) => {
    const component = await make(context);
    await within("stop", component.stop(noDeadline));
    await within("stop", component.stop(deadlineOver));
  });

  void test(`${name}: it starts, and stops as often as it is told to`, async (context) => {
    const component = await make(context);
    await within("start", component.start(noDeadline));
    await within(
      "two stops",
      Promise.all([component.stop(noDeadline), component.stop(noDeadline)]),
    );
    await within("stop", component.stop(deadlineOver));
  });

  void test(`${name}: stop ends also when its deadline is over before it begins`, async (context) => {
    const component = await make(context);
    await within("start", component.start(noDeadline));
    await within("stop", component.stop(deadlineOver));
  });
}
