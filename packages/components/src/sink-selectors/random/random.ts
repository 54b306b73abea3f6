import type { Random, SelectableSink, SinkSelector } from "@millrace/core";

/** Any order, each as likely as the others. */
export function createRandomOrder(random: Random): SinkSelector {
  return (members) => {
    const left = [...members];
    const order: SelectableSink[] = [];
    while (left.length > 0) order.push(...left.splice(random.integer(left.length), 1));
    return order;
  };
}
