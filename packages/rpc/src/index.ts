export { createAvroClient } from "./avro/client.ts";
export { createAvroServer } from "./avro/server.ts";
export * from "./client/index.ts";
export {
  type ClientTls,
  type ClientTransport,
  plainClient,
  plainServer,
  type ServerTls,
  type ServerTransport,
  type TlsChoice,
  type TlsStore,
} from "./tcp/security.ts";
export * from "./tcp/client-transport-options.ts";
export * from "./tcp/tls-options.ts";
export { parseIpFilterRules } from "./tcp/ip-filter.ts";
export type { Reloading } from "./tcp/reloading.ts";
export {
  createClientContext,
  createServerContext,
  type Expiries,
  type TlsRuntime,
} from "./tcp/secure-context.ts";
export { checkTlsChoice, tlsSettings, type TlsSettings } from "./tcp/tls-choice.ts";
export {
  type KeyMaterial,
  readKeyStore,
  readTrustStore,
  type StoreReader,
  type TrustMaterial,
} from "./tcp/store.ts";
export { type TlsFailureReason, tlsFailureReasons } from "./tcp/tls-failure.ts";
export type { EventClient, EventClientOptions } from "./wire/event-client.ts";
export {
  defaultEventServerLimits,
  type EventCall,
  type EventHandler,
  type EventServer,
  type EventServerLimits,
  type EventServerObserver,
  type EventServerOptions,
} from "./wire/event-server.ts";
