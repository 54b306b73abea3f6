/** The names and numbers of the service that `proto/millrace/v1/event_service.proto` describes. */

export const serviceName = "millrace.v1.EventService";
export const deliverPath = `/${serviceName}/Deliver`;
export const appendPath = `/${serviceName}/Append`;
export const healthCheckPath = "/grpc.health.v1.Health/Check";
export const healthWatchPath = "/grpc.health.v1.Health/Watch";

/** gRPC's status codes, those that are given or told apart here. */
export const statusCode = {
  OK: 0,
  CANCELLED: 1,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
} as const;

export type StatusCode = (typeof statusCode)[keyof typeof statusCode];

/** How a stream ends. */
export interface Status {
  readonly code: StatusCode;
  readonly message: string;
}

/** How TLS calls HTTP/2; clients of other languages insist that it is agreed on. */
export const alpnProtocols = ["h2"] as const;

/** The most a stream's bytes may run ahead of their reader, in each direction. */
export const flowWindowBytes = 512 * 1024;
