export { createGrpcClient } from "./client.ts";
export { createGrpcServer } from "./server.ts";
