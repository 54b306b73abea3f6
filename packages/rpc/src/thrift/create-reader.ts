import { BinaryReader } from "./binary.ts";
import { CompactReader } from "./compact.ts";
import type { ThriftProtocol } from "./protocol.ts";
import type { ThriftReader } from "./reader.ts";

/** Reads a message, from `at` on to the end of the bytes. */
export function createReader(protocol: ThriftProtocol, bytes: Buffer, at = 0): ThriftReader {
  return protocol === "compact" ? new CompactReader(bytes, at) : new BinaryReader(bytes, at);
}
