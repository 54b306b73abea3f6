export {
  clientOptions,
  type ClientValues,
  connectionOptions,
  hostOptions,
  type HostValues,
} from "./client-options.ts";
export { type ClientType, clientTypes } from "./client-type.ts";
export { createHostChoice } from "./create-host-choice.ts";
export { createRpcClient, type RpcClientSettings } from "./create-rpc-client.ts";
export { cutBatch } from "./cut-batch.ts";
export { type EventInput, toEventBatch } from "./event-input.ts";
export { createEventRoute, type EventRoute, type EventRouteOptions } from "./event-route.ts";
export {
  type CreateHostSelector,
  createRandomOrder,
  createRoundRobin,
  type HostSelector,
} from "./host-choice.ts";
export type { CreateEventClient, RouteObserver } from "./host-connections.ts";
export { ownAddress, type PropertyProblem, readHosts } from "./host-settings.ts";
export { loadHostSelector } from "./load-host-selector.ts";
export type { ClientProperties } from "./read-client-properties.ts";
export type { RpcClient } from "./rpc-client.ts";
