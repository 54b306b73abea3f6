export { createAvroLegacyServer } from "./avro-legacy-server.ts";
export { createScribeServer } from "./scribe-server.ts";
export { createThriftLegacyServer } from "./thrift-legacy-server.ts";
