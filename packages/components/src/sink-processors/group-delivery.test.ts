import { DeliveryError, type EventBatch, MillraceError, type Sink } from "@millrace/core";
import { numberedBatch, numbers, numbersOf } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { GroupDelivery } from "./group-delivery.ts";

const never = new AbortController().signal;

/** A sink that keeps what it is offered, and throws what it is told to. */
function sink(thrown?: Error): Sink & { offered: number[] } {
  const made = {
    offered: [] as number[],
    batchSize: 10,
    deliveriesInFlight: 1,
    start: () => Promise.resolve(),
    stop: () => Promise.resolve(),
    deliver(batch: EventBatch) {
      made.offered = numbersOf(batch);
      return thrown === undefined ? Promise.resolve() : Promise.reject(thrown);
    },
  };
  return made;
}

const partly = (settled: [number, number][], rejected: [number, number][] = [], reject = false) =>
  new DeliveryError(reject ? "EVENT_REJECTED" : "SINK_WRITE_FAILED", "partly", {
    settled: settled.map(([from, to]) => ({ from, to })),
    rejected: rejected.map(([from, to]) => ({ from, to })),
  });

test("each member is offered what none before it settled, in positions of its own", async () => {
  const delivery = new GroupDelivery(numberedBatch(1, 10), never);
  const settledByFirst: [number, number][] = [
    [0, 2],
    [5, 6],
  ];
  const first = sink(partly(settledByFirst));
  assert.equal((await delivery.offerTo(first)).outcome, "failed");
  const second = sink(partly([[1, 4]]));
  assert.equal((await delivery.offerTo(second)).outcome, "failed");
  assert.deepEqual(second.offered, [3, 4, 5, 7, 8, 9, 10]);
  const third = sink(new Error("dead"));
  assert.equal((await delivery.offerTo(third)).outcome, "failed");
  assert.deepEqual(third.offered, [3, 8, 9, 10]);
  assert.equal(delivery.restLength, 4);
  const lifted = delivery.lift("SINK_GROUP_UNAVAILABLE", "none");
  assert.deepEqual(lifted.settled, [
    { from: 0, to: 2 },
    { from: 3, to: 7 },
  ]);
  const last = sink();
  assert.equal((await delivery.offerTo(last)).outcome, "delivered");
  assert.deepEqual(last.offered, [3, 8, 9, 10]);
  delivery.finish();
});

test("events that a member rejected beside others that failed are not offered again, and named at the end", async () => {
  const delivery = new GroupDelivery(numberedBatch(1, 6), never);
  const first = await delivery.offerTo(sink(partly([[0, 1]], [[2, 3]])));
  assert.equal(first.outcome, "failed", "the others may be taken elsewhere");
  const second = sink();
  assert.equal((await delivery.offerTo(second)).outcome, "delivered");
  assert.deepEqual(second.offered, [2, 4, 5, 6]);
  assert.throws(
    () => delivery.finish(),
    (error) => {
      assert.ok(error instanceof DeliveryError);
      assert.equal(error.code, "EVENT_REJECTED");
      assert.deepEqual(error.rejected, [{ from: 2, to: 3 }]);
      assert.deepEqual(error.settled, [
        { from: 0, to: 2 },
        { from: 3, to: 6 },
      ]);
      return true;
    },
  );
});

const outcomes = [
  { name: "an error of no known kind is a failure", thrown: new TypeError("x"), want: "failed" },
  {
    name: "a refusal that names no events is the member's failure: another may take them",
    thrown: new MillraceError("FRAME_TOO_LARGE", "x"),
    want: "failed",
  },
  {
    name: "EVENT_REJECTED of the whole batch is the events' fault",
    thrown: new MillraceError("EVENT_REJECTED", "x"),
    want: "rejected",
  },
  {
    name: "rejected events with an answer of reject end the delivery, though others are left",
    thrown: partly([[0, 2]], [[2, 3]], true),
    want: "rejected",
  },
  {
    name: "an error that leaves nothing to deliver is a delivery",
    thrown: partly([[0, 6]]),
    want: "delivered",
  },
];

for (const { name, thrown, want } of outcomes) {
  test(name, async () => {
    const delivery = new GroupDelivery(numberedBatch(1, 6), never);
    assert.equal((await delivery.offerTo(sink(thrown))).outcome, want);
  });
}

test("what fails after giving up was given up, with what was settled before", async () => {
  const delivery = new GroupDelivery(numberedBatch(1, 6), AbortSignal.abort());
  const offered = await delivery.offerTo(sink(partly([[0, 5]])));
  assert.equal(offered.outcome, "given up");
  assert.deepEqual(numbers(1, delivery.restLength), [1]);
});
