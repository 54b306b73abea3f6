import type { Sink, SinkContext } from "@millrace/core";
import { createAvroClient } from "@millrace/rpc";
import { createRpcSink } from "../../rpc/rpc-sink.ts";
import type { Options } from "./options.ts";

/** Sends batches to one Avro source, one after another. */
export function createAvroSink(options: Options, context: SinkContext): Sink {
  return createRpcSink(options, context, createAvroClient);
}
