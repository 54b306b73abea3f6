import type { SourceContext } from "@millrace/core";
import { createAvroLegacyServer } from "@millrace/rpc/legacy";
import { createRpcSource, type RpcSource } from "../../rpc/rpc-source.ts";
import type { Options } from "./options.ts";

/** Listens for agents of Flume 0.9 that send Avro over HTTP. */
export function createAvroLegacySource(options: Options, context: SourceContext): RpcSource {
  const { host, ipFilter, ipFilterRules } = options;
  const rules = ipFilter && ipFilterRules !== undefined ? { ipFilterRules } : {};
  const transport = { compression: "none", ...rules } as const;
  return createRpcSource({ ...options, bind: host, transport }, context, createAvroLegacyServer);
}
