import type { Runtime } from "@millrace/core";
import type { ConnectionSettings } from "../client/client-settings.ts";
import { readTls } from "../client/tls-material.ts";
import type { ConnectionProperties } from "./connection-properties.ts";

/** The properties as a client takes them, with their stores read. Throws TLS_STORE_INVALID. */
export async function connectionSettings(
  properties: ConnectionProperties,
  brokers: readonly string[],
  clientId: string,
  runtime: Runtime,
): Promise<ConnectionSettings> {
  const { tls, sasl } = properties;
  return {
    brokers,
    clientId: properties.clientId ?? clientId,
    connectTimeoutMs: properties.connectTimeoutMs,
    requestTimeoutMs: properties.requestTimeoutMs,
    ...(tls === undefined ? {} : { tls: await readTls(tls, runtime) }),
    ...(sasl === undefined ? {} : { sasl }),
  };
}
