import { MillraceError } from "@millrace/core";
import { type Admin, CompressionTypes, type Kafka, type Message } from "kafkajs";
import type { ProducerSettings } from "./client-settings.ts";
import type { KafkaProducer, ProducedRecord } from "./kafka-client.ts";
import { toKafkaError } from "./kafka-error.ts";

/** Bytes that a record has around its key and value, at most; and a request around its records. */
const recordOverheadBytes = 32;
const requestOverheadBytes = 512;

/**
 * One request holds records of one partition only. kafkajs tries a request that failed in part again
 * by broker: when a partition has meanwhile moved to a broker that had already answered, its
 * records would be taken for sent. With one partition there is no such part.
 */
export function createKafkajsProducer(kafka: Kafka, settings: ProducerSettings): KafkaProducer {
  const producer = kafka.producer({
    allowAutoTopicCreation: settings.createsTopics,
    // Every record names its partition. Also keeps kafkajs from choosing anew at a retry.
    createPartitioner:
      () =>
      ({ message: { partition = 0 }, partitionMetadata }) => {
        if (partitionMetadata.some(({ partitionId }) => partitionId === partition))
          return partition;
        throw metadataNotLoaded(partition);
      },
    retry: { retries: settings.retries, initialRetryTime: 100, maxRetryTime: 5_000 },
  });
  let admin: Promise<Admin> | undefined;

  const connectAdmin = async (): Promise<Admin> => {
    const made = kafka.admin();
    await made.connect();
    return made;
  };

  let connected: Promise<void> | undefined;

  /** kafkajs sends nothing before it was connected once; afterwards it connects anew by itself. */
  const connect = async (): Promise<void> => {
    connected ??= producer.connect();
    try {
      await connected;
    } catch (error) {
      connected = undefined;
      throw error;
    }
  };

  const send = async (topic: string, messages: Message[]): Promise<void> => {
    await connect();
    await producer.send({
      topic,
      messages,
      acks: settings.acks,
      ...(settings.gzip ? { compression: CompressionTypes.GZIP } : {}),
    });
  };

  return {
    async connect() {
      try {
        await connect();
      } catch (error) {
        throw toKafkaError(error, "no connection to Kafka");
      }
    },

    async countPartitions(topic) {
      try {
        // Asks for the topic with the producer's right to make it come into being.
        await send(topic, []);
        admin ??= connectAdmin();
        const { topics } = await (await admin).fetchTopicMetadata({ topics: [topic] });
        const count = topics.find(({ name }) => name === topic)?.partitions.length ?? 0;
        if (count > 0) return count;
      } catch (error) {
        const failed = admin;
        admin = undefined;
        await failed?.then((made) => made.disconnect()).catch(() => {});
        throw toKafkaError(error, `partitions of topic ${topic} cannot be read`);
      }
      throw new MillraceError("KAFKA_UNAVAILABLE", `topic ${topic} has no partitions`);
    },

    assertFits(topic, record, index, count) {
      assertRecordFits(record, settings.maxRequestBytes, topic, { index, count });
    },

    async produce({ topic, partition }, records) {
      for (const part of inRequests(records, settings.maxRequestBytes, topic)) {
        try {
          await send(
            topic,
            part.map(({ key, value }) => ({ key: key ?? null, value, partition })),
          );
        } catch (error) {
          const what = `${part.length} records for partition ${partition} of topic ${topic}`;
          throw toKafkaError(error, `${what} may not be stored`);
        }
      }
    },

    async close() {
      const open = admin;
      admin = undefined;
      await Promise.allSettled([producer.disconnect(), open?.then((made) => made.disconnect())]);
    },
  };
}

/**
 * Records of a partition that kafkajs has not heard of, as it came into being after its last look,
 * would be left out and taken for sent. By this name kafkajs looks again, and then tries again.
 */
function metadataNotLoaded(partition: number): Error {
  const error = new Error(`partition ${partition} is not in the metadata of its topic`);
  error.name = "KafkaJSMetadataNotLoaded";
  return error;
}

/** The records in order, in parts that one request each can hold. */
export function inRequests(
  records: readonly ProducedRecord[],
  maxRequestBytes: number,
  topic: string,
): ProducedRecord[][] {
  const parts: ProducedRecord[][] = [];
  const room = maxRequestBytes - requestOverheadBytes;
  let part: ProducedRecord[] = [];
  let bytes = 0;
  records.forEach((record, i) => {
    assertRecordFits(record, maxRequestBytes, topic, { index: i, count: records.length });
    const size = recordBytes(record);
    if (bytes + size > room) {
      parts.push(part);
      part = [];
      bytes = 0;
    }
    part.push(record);
    bytes += size;
  });
  if (part.length > 0) parts.push(part);
  return parts;
}

function assertRecordFits(
  record: ProducedRecord,
  maxRequestBytes: number,
  topic: string,
  { index, count }: { readonly index: number; readonly count: number },
): void {
  const size = recordBytes(record);
  if (size <= maxRequestBytes - requestOverheadBytes) return;
  throw new MillraceError(
    "KAFKA_RECORD_TOO_LARGE",
    `event ${index} of ${count} makes a record of ${size} bytes for topic ${topic}; max.request.size is ${maxRequestBytes}`,
  );
}

function recordBytes({ key, value }: ProducedRecord): number {
  return value.length + (key === undefined ? 0 : Buffer.byteLength(key)) + recordOverheadBytes;
}
