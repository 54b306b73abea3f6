export { connect, type ConnectOptions, type TlsOptions } from "./connect.ts";
export { DeliveryError, EventBatch, type Log, MillraceError } from "@millrace/core";
export {
  type ClientProperties,
  type CreateHostSelector,
  type EventInput,
  type HostSelector,
  type RpcClient,
} from "@millrace/rpc";
