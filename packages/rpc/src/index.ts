export { type AvroClient, type AvroClientOptions, createAvroClient } from "./avro/client.ts";
export {
  type AvroCall,
  type AvroHandler,
  type AvroServer,
  type AvroServerLimits,
  type AvroServerObserver,
  type AvroServerOptions,
  createAvroServer,
  defaultAvroServerLimits,
} from "./avro/server.ts";
