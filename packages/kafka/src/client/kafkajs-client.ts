import type { Clock, Log } from "@millrace/core";
import { Kafka, type KafkaConfig, type logCreator, logLevel, type SASLOptions } from "kafkajs";
import type { ConnectionSettings, ConsumerSettings, ProducerSettings } from "./client-settings.ts";
import type { ConsumerListener, KafkaClient, Subscription } from "./kafka-client.ts";
import { createKafkajsConsumer } from "./kafkajs-consumer.ts";
import { createKafkajsProducer } from "./kafkajs-producer.ts";

export interface KafkajsClientOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly producer: {
    readonly connection: ConnectionSettings;
    readonly settings: ProducerSettings;
  };
  readonly consumer: {
    readonly connection: ConnectionSettings;
    readonly settings: ConsumerSettings;
  };
}

/** The port over the package kafkajs. Opens nothing yet. */
export function createKafkajsClient(options: KafkajsClientOptions): KafkaClient {
  const { clock, log, producer, consumer } = options;
  return {
    createProducer: () =>
      createKafkajsProducer(new Kafka(configOf(producer.connection, log)), producer.settings),
    createConsumer: (subscription: Subscription, listener: ConsumerListener) =>
      createKafkajsConsumer({
        kafka: new Kafka(configOf(consumer.connection, log)),
        settings: consumer.settings,
        subscription,
        listener,
        clock,
        log,
      }),
  };
}

function configOf(connection: ConnectionSettings, log: Log): KafkaConfig {
  const { tls, sasl } = connection;
  return {
    brokers: [...connection.brokers],
    clientId: connection.clientId,
    connectionTimeout: connection.connectTimeoutMs,
    requestTimeout: connection.requestTimeoutMs,
    ...(tls === undefined ? {} : { ssl: tls }),
    ...(sasl === undefined ? {} : { sasl: sasl as SASLOptions }),
    logLevel: logLevel.INFO,
    logCreator: logTo(log),
  };
}

/**
 * What the library says, in our log. It tries most things again and calls each try an error: that
 * is a warning here, and what is truly an error comes to the component as one.
 */
function logTo(log: Log): logCreator {
  return () =>
    ({ namespace, level, log: { message, error } }) => {
      const reason = typeof error === "string" ? `: ${error}` : "";
      const line = `kafkajs ${namespace}: ${message}${reason}`;
      if (level === logLevel.ERROR || level === logLevel.WARN) log.warn(line);
      else log.debug(line);
    };
}
