import { createAvroClient } from "../avro/client.ts";
import type { ClientType } from "./client-type.ts";
import type { CreateEventClient } from "./host-connections.ts";

/** How connections of a client type are made. The libraries of a wire are loaded by who uses it. */
export async function loadWire(
  type: ClientType,
  protocol: "compact" | "binary",
): Promise<CreateEventClient> {
  switch (type) {
    case "default":
    case "default_failover":
    case "default_loadbalance":
      return createAvroClient;
    case "thrift": {
      const { createThriftClient } = await import("../thrift/client.ts");
      return (options) => createThriftClient({ ...options, protocol });
    }
    case "grpc": {
      const { createGrpcClient } = await import("../grpc/client.ts");
      return createGrpcClient;
    }
  }
}
