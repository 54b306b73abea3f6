import type { Sink, SinkContext } from "@millrace/core";
import {
  clientTransport,
  createAvroClient,
  type CreateHostSelector,
  loadHostSelector,
} from "@millrace/rpc";
import { createRpcSink } from "../../rpc/rpc-sink.ts";
import type { Options } from "./options.ts";

/** Sends batches to an Avro source, or to one of several. Throws CONFIG_INVALID. */
export function createAvroSink(
  options: Options,
  context: SinkContext,
  createHostSelector?: CreateHostSelector,
): Sink {
  const transport = clientTransport(options, context.systemProperties);
  return createRpcSink({ ...options, transport }, context, createAvroClient, createHostSelector);
}

/** The same; a selector of the operator's own is loaded first. */
export async function loadAvroSink(options: Options, context: SinkContext): Promise<Sink> {
  return createAvroSink(options, context, await loadHostSelector(options.hostSelector));
}
