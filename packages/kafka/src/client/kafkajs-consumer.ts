import { type Clock, type Log, MillraceError, sleep } from "@millrace/core";
import type { Kafka } from "kafkajs";
import type { ConsumerSettings } from "./client-settings.ts";
import type { ConsumerListener, KafkaConsumer, Subscription } from "./kafka-client.ts";
import { toKafkaError } from "./kafka-error.ts";
import { KafkajsSession } from "./kafkajs-session.ts";

export interface KafkajsConsumerOptions {
  readonly kafka: Kafka;
  readonly settings: ConsumerSettings;
  readonly subscription: Subscription;
  readonly listener: ConsumerListener;
  readonly clock: Clock;
  readonly log: Log;
}

const backoffMs = { first: 250, most: 10_000 } as const;

/**
 * A member of a group that comes back by itself: kafkajs gives up for good on some errors and starts
 * anew on others, so here every end of it is followed by a new one, after a pause.
 */
export function createKafkajsConsumer(options: KafkajsConsumerOptions): KafkaConsumer {
  const { subscription, listener, clock } = options;
  const stopping = new AbortController();
  let session: KafkajsSession | undefined;
  let running: Promise<void> | undefined;
  let open = true;

  const run = async (): Promise<void> => {
    let pauseMs: number = backoffMs.first;
    while (!stopping.signal.aborted) {
      session = new KafkajsSession(options, open);
      try {
        await session.run(stopping.signal);
      } catch (error) {
        listener.failed(toKafkaError(error, `group ${subscription.groupId} cannot be joined`));
      }
      if (session.joined) pauseMs = backoffMs.first;
      listener.suspended();
      await session.close();
      session = undefined;
      await sleep(clock, pauseMs, stopping.signal);
      pauseMs = Math.min(pauseMs * 2, backoffMs.most);
    }
  };

  return {
    start() {
      running ??= run();
    },
    flow(next) {
      open = next;
      session?.flow(next);
    },
    async commit(positions) {
      if (session === undefined) {
        throw new MillraceError(
          "KAFKA_UNAVAILABLE",
          `group ${subscription.groupId} is not joined: its offsets cannot be committed now`,
        );
      }
      await session.commit(positions);
    },
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
