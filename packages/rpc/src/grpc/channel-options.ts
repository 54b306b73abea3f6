import type { ChannelOptions } from "@grpc/grpc-js";
import { flowWindowBytes } from "./protocol.ts";

/** A silent connection is asked for a sign of life this often, and given so long to answer. */
const keepAliveMs = 30_000;
const keepAliveTimeoutMs = 20_000;

/** How the library's channel is to behave: one connection, that goes where it was told, and no retries of its own. */
export function channelOptions(maxReplyBytes: number): ChannelOptions {
  return {
    "grpc.max_receive_message_length": maxReplyBytes,
    "grpc.max_send_message_length": -1,
    "grpc.keepalive_time_ms": keepAliveMs,
    "grpc.keepalive_timeout_ms": keepAliveTimeoutMs,
    "grpc.enable_retries": 0,
    // Two clients of one server are two connections.
    "grpc.use_local_subchannel_pool": 1,
    "grpc.service_config_disable_resolution": 1,
    // Only gRPC clients look at http_proxy; a hop is where its hostname and port say.
    "grpc.enable_http_proxy": 0,
    "grpc.enable_channelz": 0,
    "grpc-node.flow_control_window": flowWindowBytes,
  };
}
