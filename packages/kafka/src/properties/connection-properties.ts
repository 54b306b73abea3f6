import type { SaslSettings } from "../client/client-settings.ts";
import { parseJaas } from "./jaas.ts";
import type { PropertyReader } from "./property-reader.ts";

/** What a side's properties say about its connections; its stores are not read yet. */
export interface ConnectionProperties {
  readonly clientId: string | undefined;
  readonly tls: TlsProperties | undefined;
  readonly sasl: SaslSettings | undefined;
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
}

export interface TlsProperties {
  readonly trustStore: StoreProperties | undefined;
  readonly keyStore: StoreProperties | undefined;
  /** PEM text in place of a store. */
  readonly trustedPem: string | undefined;
  readonly chainPem: string | undefined;
  readonly keyPem: string | undefined;
  readonly keyPassword: string | undefined;
  readonly checksHostName: boolean;
}

export interface StoreProperties {
  readonly path: string;
  readonly type: "JKS" | "PKCS12" | "PEM";
  readonly password: string | undefined;
}

const storeTypes = ["JKS", "PKCS12", "PEM"] as const;

export function readConnection(
  properties: PropertyReader,
  defaults: { readonly requestTimeoutMs: number },
): ConnectionProperties {
  const protocol = properties.choice(
    "security.protocol",
    ["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"],
    "PLAINTEXT",
  );
  const tls = readTls(properties);
  const sasl = readSasl(properties, protocol.startsWith("SASL_"));
  return {
    clientId: properties.text("client.id"),
    tls: protocol.endsWith("SSL") ? tls : undefined,
    sasl: protocol.startsWith("SASL_") ? sasl : undefined,
    connectTimeoutMs: properties.integer("socket.connection.setup.timeout.ms", 10_000, { min: 1 }),
    requestTimeoutMs: properties.integer("request.timeout.ms", defaults.requestTimeoutMs, {
      min: 1,
    }),
  };
}

function readTls(properties: PropertyReader): TlsProperties {
  const algorithm = properties.choice(
    "ssl.endpoint.identification.algorithm",
    ["https", ""],
    "https",
  );
  return {
    trustStore: readStore(properties, "ssl.truststore"),
    keyStore: readStore(properties, "ssl.keystore"),
    trustedPem: properties.text("ssl.truststore.certificates"),
    chainPem: properties.text("ssl.keystore.certificate.chain"),
    keyPem: properties.text("ssl.keystore.key"),
    keyPassword: properties.text("ssl.key.password"),
    checksHostName:
      !properties.boolean("ssl.disableTLSHostnameVerification", false) && algorithm === "https",
  };
}

function readStore(properties: PropertyReader, key: string): StoreProperties | undefined {
  const path = properties.text(`${key}.location`);
  const type = properties.choice(`${key}.type`, storeTypes, "JKS");
  const password = properties.text(`${key}.password`);
  return path === undefined ? undefined : { path, type, password };
}

function readSasl(properties: PropertyReader, wanted: boolean): SaslSettings | undefined {
  const mechanism = properties.choice(
    "sasl.mechanism",
    ["plain", "scram-sha-256", "scram-sha-512"],
    "plain",
    (given) =>
      `${given} does not exist here: use PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, with users that the brokers know`,
  );
  const jaas = properties.text("sasl.jaas.config");
  if (!wanted) return undefined;
  if (properties.text("sasl.mechanism") === undefined) {
    properties.problem(
      "sasl.mechanism",
      "is required with SASL; Kafka's own default, GSSAPI, does not exist here",
    );
  }
  if (jaas === undefined) {
    properties.problem("sasl.jaas.config", "is required with SASL; a JAAS file is not read");
    return undefined;
  }
  const parsed = parseJaas(jaas, mechanism);
  if (typeof parsed !== "string") return parsed;
  properties.problem("sasl.jaas.config", parsed);
  return undefined;
}
