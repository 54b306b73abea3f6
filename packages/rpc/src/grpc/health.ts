import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  HealthCheckRequestSchema,
  HealthCheckResponse_ServingStatus as ServingStatus,
  HealthCheckResponseSchema,
} from "./generated/grpc/health/v1/health_pb.ts";
import { serviceName } from "./protocol.ts";

export type HealthWatcher = (response: Uint8Array) => void;

/** What grpc.health.v1.Health says of one server: SERVING from start to stop. */
export class Health {
  readonly #watchers = new Set<HealthWatcher>();
  #serving = false;

  setServing(serving: boolean): void {
    if (serving === this.#serving) return;
    this.#serving = serving;
    for (const watcher of this.#watchers) watcher(this.#status());
  }

  /** The answer for a service, given a HealthCheckRequest; undefined when it is not known here. Throws for bytes that are none. */
  check(request: Uint8Array): Uint8Array | undefined {
    const { service } = fromBinary(HealthCheckRequestSchema, request);
    return service === "" || service === serviceName ? this.#status() : undefined;
  }

  /** Tells the watcher at once, and then at every change until the returned function is called. */
  watch(request: Uint8Array, watcher: HealthWatcher): () => void {
    const status = this.check(request);
    if (status === undefined) {
      watcher(encodeStatus(ServingStatus.SERVICE_UNKNOWN));
      return () => {};
    }
    this.#watchers.add(watcher);
    watcher(status);
    return () => this.#watchers.delete(watcher);
  }

  #status(): Uint8Array {
    return encodeStatus(this.#serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING);
  }
}

function encodeStatus(status: ServingStatus): Uint8Array {
  return toBinary(HealthCheckResponseSchema, create(HealthCheckResponseSchema, { status }));
}
