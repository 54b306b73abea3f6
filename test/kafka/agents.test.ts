/** Whole agents of ours around a Kafka channel, and what a kill of one of them costs. */
import { EventBatch } from "@millrace/core";
import { numbers, tempDirectory, waitFor } from "@millrace/testing";
import assert from "node:assert/strict";
import { test } from "node:test";
import { createKafkaAgent, type KafkaAgent } from "./harness/agents.ts";
import { sendOverAvro, sendUntilTaken } from "./harness/avro-sender.ts";
import { put, startChannel } from "./harness/channels.ts";
import { startCluster } from "./harness/kafka-cluster.ts";

/** Bodies of one width, so that a line that was cut off is none of them. */
const bodyOf = (n: number): string => `event ${String(n).padStart(8, "0")}`;

function batchOf(from: number, to: number): EventBatch {
  return EventBatch.fromEvents(numbers(from, to).map((n) => ({ body: Buffer.from(bodyOf(n)) })));
}

/** Whether the files of the agents hold all of the events between them. */
async function haveAll(agents: readonly KafkaAgent[], to: number): Promise<boolean> {
  const lines = await Promise.all(agents.map((agent) => agent.bodies()));
  const came = new Set(lines.flat());
  return numbers(1, to).every((n) => came.has(bodyOf(n)));
}

void test("agents of ours around a Kafka channel", async (t) => {
  const cluster = await startCluster(t);
  if (cluster === undefined) return;
  const folder = await tempDirectory(t);
  const channelOn = (topic: string): Record<string, string> => ({
    "kafka.bootstrap.servers": cluster.bootstrapServers,
    "kafka.topic": topic,
    "kafka.consumer.group.id": `group-of-${topic}`,
    "kafka.consumer.session.timeout.ms": "2000",
  });

  await t.test("one agent puts, another takes into files", async (inner) => {
    const channel = channelOn("between");
    const putting = await createKafkaAgent(inner, {
      ...{ folder, name: "putting", channel },
      ...{ puts: true, takes: false },
    });
    const taking = await createKafkaAgent(inner, {
      ...{ folder, name: "taking", channel },
      ...{ puts: false, takes: true },
    });
    await Promise.all([putting.process.start(), taking.process.start()]);
    for (let i = 0; i < 5; i++)
      await sendOverAvro(putting.port, batchOf(i * 100 + 1, i * 100 + 100));
    await waitFor("the files", async () => (await taking.bodies()).length >= 500, 30_000);
    assert.deepEqual(await taking.bodies(), numbers(1, 500).map(bodyOf));
    const { "CHANNEL.c": counters } = await putting.process.metrics();
    assert.equal(counters?.["EventPutSuccessCount"], "500");
    assert.equal(counters["Type"], "CHANNEL");
    assert.ok(Number(counters["KafkaEventSendTimer"]) > 0);
    await Promise.all([putting.process.kill("SIGTERM"), taking.process.kill("SIGTERM")]);
    assert.deepEqual(await cluster.committed("between", "group-of-between"), [500]);
  });

  await t.test(
    "an agent killed while it puts loses nothing that it acknowledged",
    async (inner) => {
      const channel = channelOn("killed-putting");
      const agent = await createKafkaAgent(inner, {
        ...{ folder, name: "both", channel },
        ...{ puts: true, takes: true },
      });
      await agent.process.start();
      let tries = 0;
      let sent = 0;
      let restarted = false;
      const sending = (async () => {
        for (; sent < 100 || !restarted; sent++) {
          tries += await sendUntilTaken(agent.port, batchOf(sent * 10 + 1, sent * 10 + 10));
        }
      })();
      await waitFor("some events", async () => (await agent.bodies()).length > 100, 30_000);
      await agent.process.kill("SIGKILL");
      await agent.process.start();
      restarted = true;
      await sending;
      await waitFor("every event", () => haveAll([agent], sent * 10), 60_000);
      assert.ok(tries > sent, "a batch was sent again");
      assert.equal(agent.process.starts, 2);
    },
  );

  await t.test(
    "agents that share a group take over from one that is killed [lost: kafka | agent killed | nothing; some twice]",
    async (inner) => {
      const topic = "shared";
      await cluster.createTopic(topic, 4);
      const channel = channelOn(topic);
      const taker = (name: string): Promise<KafkaAgent> =>
        createKafkaAgent(inner, { folder, name, channel, puts: false, takes: true });
      const [first, second] = [await taker("first"), await taker("second")];
      const source = await startChannel(inner, channel);
      let putting = true;
      let last = 0;
      const puts = (async () => {
        while (putting) {
          await put(source.channel, batchOf(last + 1, last + 10));
          last += 10;
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      })();
      await first.process.start();
      await waitFor("the first's events", async () => (await first.bodies()).length > 200, 30_000);
      await second.process.start();
      await waitFor("the second's share", async () => (await second.bodies()).length > 200, 30_000);
      const before = (await first.bodies()).length;
      await waitFor("more of both", async () => (await first.bodies()).length > before, 30_000);
      await first.process.kill("SIGKILL");
      // What came before the kill may all be in files: of what comes behind it a share is the first's.
      const reached = last + 400;
      const takenOver = async (): Promise<boolean> =>
        last >= reached && (await haveAll([first, second], reached));
      await waitFor("what was the first's", takenOver, 60_000);
      putting = false;
      await puts;
      await waitFor("every event", () => haveAll([first, second], last), 60_000);
      const came = (await Promise.all([first, second].map((one) => one.bodies()))).flat();
      inner.diagnostic(`${last} events, ${came.length - last} of them twice`);
      assert.ok(last > 400 && came.length >= last);
      await second.process.kill("SIGTERM");
      const committed = await cluster.committed(topic, `group-of-${topic}`);
      assert.equal(
        committed.reduce((sum, offset) => sum + offset, 0),
        last,
      );
    },
  );
});
