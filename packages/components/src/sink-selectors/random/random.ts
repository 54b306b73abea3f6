import type { Random, SelectableSink, SinkSelector } from "@millrace/core";

/** Any order of those that are available, each as likely as the others; then any of the rest. */
export function createRandomOrder(random: Random): SinkSelector {
  const shuffle = (members: readonly SelectableSink[]): SelectableSink[] => {
    const left = [...members];
    const order: SelectableSink[] = [];
    while (left.length > 0) order.push(...left.splice(random.integer(left.length), 1));
    return order;
  };
  return (members) => [
    ...shuffle(members.filter(({ available }) => available)),
    ...shuffle(members.filter(({ available }) => !available)),
  ];
}
