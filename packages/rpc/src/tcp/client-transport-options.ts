import { boolean, choice, integer, type OptionsOf, text } from "@millrace/core";
import type { ClientTls, ClientTransport } from "./security.ts";
import { checkTlsChoice } from "./tls-choice.ts";
import {
  checkStoreType,
  type OptionCheck,
  passwordOption,
  storeOf,
  storeTypes,
  type SystemProperties,
  tlsChoiceOf,
  tlsChoiceOptions,
} from "./tls-options.ts";

/** Spread into the options of every sink and client that speaks TLS. */
export const clientTlsOptions = {
  ssl: boolean("ssl", "TLS on every connection.", { default: false }),
  trustAllCerts: boolean(
    "trust-all-certs",
    "Take any certificate: the data is encrypted, but for whom is not known.",
    { default: false },
  ),
  verifyHostname: boolean(
    "verifyHostname",
    "Whether the server's certificate must name the host that is meant; Flume does not look.",
    { default: true },
  ),
  serverName: text(
    "serverName",
    "The name to ask for, and that the certificate must have, instead of the host's.",
  ),
  truststore: text(
    "truststore",
    "File of the authorities that may sign the server's certificate; Node's list when not given here or globally.",
  ),
  truststorePassword: passwordOption("truststore"),
  truststoreType: choice(
    "truststore-type",
    storeTypes,
    "What the truststore is; a PKCS12 file is also read where JKS is said, as Java does. JKS when not given.",
  ),
  keystore: text(
    "keystore",
    "File of this client's private key and certificate chain, for a server that asks. Never global.",
  ),
  keystorePassword: passwordOption("keystore"),
  keystoreType: choice("keystore-type", storeTypes, "What the keystore is. JKS when not given."),
  keystoreKey: text(
    "keystore-key",
    "PEM only: file of the private key, when the keystore holds certificates alone.",
  ),
  ...tlsChoiceOptions,
};

/** Spread into the options of a sink or client whose wire knows Flume's compression. */
export const clientCompressionOptions = {
  compressionType: choice(
    "compression-type",
    ["none", "deflate"],
    "Must be what the source has: nothing is negotiated.",
    { default: "none" },
  ),
  compressionLevel: integer(
    "compression-level",
    "How hard deflate tries; 0 stores without compressing.",
    { default: 6, max: 9 },
  ),
  tlsLayering: choice(
    "tlsLayering",
    ["1.10", "1.9"],
    "With ssl and deflate: since Flume 1.10 TLS lies inside the zlib stream, up to 1.9 around it. Millrace sources take both.",
    { default: "1.10" },
  ),
};

export type ClientTlsValues = OptionsOf<typeof clientTlsOptions>;
export type ClientCompressionValues = OptionsOf<typeof clientCompressionOptions>;
/** Compression may be absent: not every wire has it. */
export type ClientTransportValues = ClientTlsValues & Partial<ClientCompressionValues>;

/** What these values make of the connection. Call it with values that `checkClientTransport` passed. */
export function clientTransport(
  values: ClientTransportValues,
  global: SystemProperties,
): ClientTransport {
  const tls = clientTls(values, global);
  const { compressionType = "none", compressionLevel = 6, tlsLayering = "1.10" } = values;
  return {
    compression: compressionType,
    compressionLevel,
    outermost: tlsLayering === "1.9" ? "tls" : "deflate",
    ...(tls === undefined ? {} : { tls }),
  };
}

/** The TLS of a client; undefined without ssl. */
export function clientTls(
  values: ClientTlsValues,
  global: SystemProperties,
): ClientTls | undefined {
  if (!values.ssl) return undefined;
  const { trustAllCerts, verifyHostname, serverName } = values;
  const truststore = storeOf("truststore", truststoreValues(values), global);
  const keystore = storeOf("keystore", keystoreValues(values), noProperties);
  return {
    ...tlsChoiceOf(values, global),
    trustAll: trustAllCerts,
    verifyHostName: verifyHostname,
    ...(serverName === undefined ? {} : { serverName }),
    ...(truststore === undefined || trustAllCerts ? {} : { truststore }),
    ...(keystore === undefined ? {} : { keystore }),
  };
}

/** Everything wrong with the values together. Opens no file. */
export function checkClientTransport(
  values: ClientTransportValues,
  global: SystemProperties,
): readonly OptionCheck[] {
  if (!values.ssl) return [];
  const problems: OptionCheck[] = [
    ...checkStoreType("truststore", truststoreValues(values), global),
  ];
  if (values.keystore === undefined && values.keystoreKey !== undefined) {
    problems.push({ key: "keystore", message: "is required with keystore-key: its certificate" });
  }
  return [...problems, ...checkTlsChoice(tlsChoiceOf(values, global))];
}

/** Flume's clients send no certificate, so what is set for all sources is not taken for them. */
const noProperties: SystemProperties = new Map();

const keystoreValues = (values: ClientTlsValues) => ({
  path: values.keystore,
  password: values.keystorePassword,
  type: values.keystoreType,
  keyPath: values.keystoreKey,
});

const truststoreValues = (values: ClientTlsValues) => ({
  path: values.truststore,
  password: values.truststorePassword,
  type: values.truststoreType,
});
