export { createThriftClient, type ThriftClientOptions } from "./client.ts";
export {
  javaFrameBytesMax,
  type ProtocolChoice,
  readProtocol,
  type ThriftProtocol,
} from "./protocol.ts";
export { createThriftServer, type ThriftServerOptions } from "./server.ts";
