import type { SourceContext } from "@millrace/core";
import { createScribeServer } from "@millrace/rpc/legacy";
import { createRpcSource, type RpcSource } from "../../rpc/rpc-source.ts";
import { maxReadBufferBytesDefault, type Options } from "./options.ts";

/** Listens for Scribe clients. */
export function createScribeSource(options: Options, context: SourceContext): RpcSource {
  const { maxReadBufferBytes, ipFilter, ipFilterRules } = options;
  const maxFrameBytes = maxReadBufferBytes > 0 ? maxReadBufferBytes : maxReadBufferBytesDefault;
  const rules = ipFilter && ipFilterRules !== undefined ? { ipFilterRules } : {};
  const transport = { compression: "none", ...rules } as const;
  return createRpcSource({ ...options, maxFrameBytes, transport }, context, createScribeServer);
}
