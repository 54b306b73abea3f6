import type { Random } from "@millrace/core";

/** In which order members are asked, the first one being whose turn it is. */
export type MemberOrder = <T>(members: readonly T[], available: (member: T) => boolean) => T[];

/** Turns in the order of the group. Who is not available has no turn. */
export function createRoundRobin(): MemberOrder {
  let turn = 0;
  return (members, available) => {
    const rotated = [...members.slice(turn), ...members.slice(0, turn)].filter(available);
    const [first] = rotated;
    if (first !== undefined) turn = (members.indexOf(first) + 1) % members.length;
    return rotated;
  };
}

/** Any order, each as likely as the others. */
export function createRandomOrder(random: Random): MemberOrder {
  return (members, available) => {
    const left = members.filter(available);
    const order: typeof left = [];
    while (left.length > 0) order.push(...left.splice(random.integer(left.length), 1));
    return order;
  };
}
