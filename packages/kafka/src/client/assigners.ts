import { type Assigner, AssignerProtocol, type Cluster, type GroupMember } from "kafkajs";

const { MemberAssignment, MemberMetadata } = AssignerProtocol;

/**
 * The ways of Java's RangeAssignor and RoundRobinAssignor under their names, so that agents of both
 * kinds can be members of one group, and one can lead the other.
 */
export function createAssigner(
  name: "range" | "roundrobin",
): (config: { cluster: Cluster }) => Assigner {
  const share = name === "range" ? shareRanges : shareInTurns;
  return ({ cluster }) => ({
    name,
    version: 0,
    protocol: ({ topics }) => ({
      name,
      metadata: MemberMetadata.encode({ version: 0, topics, userData: Buffer.alloc(0) }),
    }),
    assign({ members, topics }) {
      const assignment = new Map<string, Record<string, number[]>>();
      for (const { memberId } of members) assignment.set(memberId, {});
      for (const topic of topics) {
        const subscribed = subscribers(members, topic);
        const partitions = cluster
          .findTopicPartitionMetadata(topic)
          .map(({ partitionId }) => partitionId)
          .sort((a, b) => a - b);
        share(partitions, subscribed.length).forEach((own, i) => {
          const of = assignment.get(subscribed[i] as string);
          if (of !== undefined && own.length > 0) of[topic] = own;
        });
      }
      return Promise.resolve(
        [...assignment].map(([memberId, own]) => ({
          memberId,
          memberAssignment: MemberAssignment.encode({
            version: 0,
            assignment: own,
            userData: Buffer.alloc(0),
          }),
        })),
      );
    },
  });
}

/** Their ids in Java's order of strings. One whose subscription cannot be read takes no part. */
function subscribers(members: readonly GroupMember[], topic: string): string[] {
  return members
    .filter(({ memberMetadata }) => MemberMetadata.decode(memberMetadata)?.topics.includes(topic))
    .map(({ memberId }) => memberId)
    .sort((a, b) => (a < b ? -1 : 1));
}

/** Neighbouring partitions together; the first members have one more where it does not come out even. */
export function shareRanges(partitions: readonly number[], members: number): number[][] {
  const each = Math.floor(partitions.length / members);
  const more = partitions.length % members;
  return Array.from({ length: members }, (_, i) => {
    const from = i * each + Math.min(i, more);
    return partitions.slice(from, from + each + (i < more ? 1 : 0));
  });
}

/** One after another to one member after another. */
export function shareInTurns(partitions: readonly number[], members: number): number[][] {
  return Array.from({ length: members }, (_, i) =>
    partitions.filter((_partition, index) => index % members === i),
  );
}
