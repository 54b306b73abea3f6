import type { MessageHead } from "./reader.ts";

/**
 * Writes the parts of Flume's messages in one of the protocols. Each function writes at `at`, where
 * there must be room, and returns the offset behind what it wrote.
 */
export interface ThriftWriter {
  /** By how much an event is longer at most than in Avro, beside its headers. */
  readonly eventBytesMore: number;
  /** And by how much for each header. */
  readonly headerBytesMore: number;

  writeHead(bytes: Buffer, at: number, head: MessageHead): number;
  /** Opens the argument: the one event, or a list of `count`. */
  writeArgument(bytes: Buffer, at: number, count: number | undefined): number;
  /** Opens an event's map; its strings follow, each behind its length. */
  writeHeaders(bytes: Buffer, at: number, count: number): number;
  writeLength(bytes: Uint8Array, at: number, length: number): number;
  /** Opens an event's body, which follows. */
  writeBody(bytes: Buffer, at: number, length: number): number;
  /** Closes an event, or the message. */
  writeStop(bytes: Buffer, at: number): number;
  /** All of a reply behind its head. */
  writeStatus(bytes: Buffer, at: number, status: number): number;
  /** All of an exception behind its head. */
  writeException(bytes: Buffer, at: number, text: string, type: number): number;
}

/** Room for what a message has beside its events or its exception's text. */
export const messageBytesMore = 512;
