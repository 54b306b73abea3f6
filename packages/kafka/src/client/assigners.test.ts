import { AssignerProtocol, type Cluster } from "kafkajs";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createAssigner, shareInTurns, shareRanges } from "./assigners.ts";

const { MemberAssignment, MemberMetadata } = AssignerProtocol;

void test("ranges are shared as Java's RangeAssignor does: neighbours together, the first have more", () => {
  assert.deepEqual(shareRanges([0, 1, 2, 3, 4, 5, 6], 3), [[0, 1, 2], [3, 4], [5, 6]]); // prettier-ignore
  assert.deepEqual(shareRanges([0], 2), [[0], []]);
  assert.deepEqual(shareInTurns([0, 1, 2, 3, 4], 2), [[0, 2, 4], [1, 3]]); // prettier-ignore
});

void test("an assignment gives every partition to one member, in the order of their ids", async () => {
  const cluster = {
    findTopicPartitionMetadata: () => [2, 0, 1].map((partitionId) => ({ partitionId })),
  } as unknown as Cluster;
  const metadata = (...topics: string[]) =>
    MemberMetadata.encode({ version: 1, topics, userData: Buffer.alloc(0) });
  for (const [name, want] of [
    ["range", { a: { t: [0, 1] }, b: { t: [2] }, c: {} }],
    ["roundrobin", { a: { t: [0, 2] }, b: { t: [1] }, c: {} }],
  ] as const) {
    const assigner = createAssigner(name)({ cluster });
    assert.equal(assigner.name, name, "the name that Java knows it by");
    const given = await assigner.assign({
      members: [
        { memberId: "b", memberMetadata: metadata("t") },
        { memberId: "a", memberMetadata: metadata("t", "other") },
        { memberId: "c", memberMetadata: metadata("other") },
      ],
      topics: ["t"],
    });
    const decoded = given.map(({ memberId, memberAssignment }) => [
      memberId,
      { ...MemberAssignment.decode(memberAssignment)?.assignment },
    ]);
    assert.deepEqual(Object.fromEntries(decoded), want);
    const protocol = assigner.protocol({ topics: ["t"] });
    assert.deepEqual(MemberMetadata.decode(protocol.metadata)?.topics, ["t"]);
  }
});
