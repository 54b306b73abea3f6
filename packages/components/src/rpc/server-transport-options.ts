import { boolean, choice, type OptionsOf, text } from "@millrace/core";
import {
  checkTlsChoice,
  parseIpFilterRules,
  type ServerTls,
  type ServerTransport,
} from "@millrace/rpc";
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

/** Spread into the options of every source that speaks TLS. */
export const serverTlsOptions = {
  ssl: boolean("ssl", "TLS on every connection.", { default: false }),
  keystore: text(
    "keystore",
    "File of the server's private key and certificate chain; with ssl required here or globally.",
  ),
  keystorePassword: passwordOption("keystore"),
  keystoreType: choice(
    "keystore-type",
    storeTypes,
    "What the keystore is; a PKCS12 file is also read where JKS is said, as Java does. JKS when not given.",
  ),
  keystoreKey: text(
    "keystore-key",
    "PEM only: file of the private key, when the keystore holds certificates alone.",
  ),
  truststore: text(
    "truststore",
    "File of the authorities that may sign a client's certificate; read when clientAuth asks for one.",
  ),
  truststorePassword: passwordOption("truststore"),
  truststoreType: choice(
    "truststore-type",
    storeTypes,
    "What the truststore is. JKS when not given.",
  ),
  clientAuth: choice(
    "clientAuth",
    ["none", "wanted", "required"],
    "Whether a client is asked for a certificate: not, asked and verified if it sends one, or turned away without.",
    { default: "none" },
  ),
  ...tlsChoiceOptions,
};

/** Spread into the options of a source whose wire knows Flume's compression. */
export const serverCompressionOptions = {
  compressionType: choice(
    "compression-type",
    ["none", "deflate"],
    "Must be what the senders have: nothing is negotiated.",
    { default: "none" },
  ),
};

/** Spread into the options of a source that accepts by address. */
export const ipFilterOptions = {
  ipFilter: boolean("ipFilter", "Accept connections by ipFilterRules.", { default: false }),
  ipFilterRules: text(
    "ipFilterRules",
    "Rules with commas between: allow or deny, :, ip or name, :, a pattern with * and ?. The first that matches decides; none accepts.",
  ),
};

export type ServerTlsValues = OptionsOf<typeof serverTlsOptions>;
export type ServerCompressionValues = OptionsOf<typeof serverCompressionOptions>;
export type IpFilterValues = OptionsOf<typeof ipFilterOptions>;
/** Compression and address filter may be absent: not every wire has them. */
export type ServerTransportValues = ServerTlsValues &
  Partial<ServerCompressionValues> &
  Partial<IpFilterValues>;

/** What these values make of the connection. Call it with values that `checkServerTransport` passed. */
export function serverTransport(
  values: ServerTransportValues,
  global: SystemProperties,
): ServerTransport {
  const tls = serverTls(values, global);
  const { compressionType = "none", ipFilter = false, ipFilterRules } = values;
  return {
    compression: compressionType,
    ...(tls === undefined ? {} : { tls }),
    ...(ipFilter && ipFilterRules !== undefined ? { ipFilterRules } : {}),
  };
}

/** The TLS of a server; undefined without ssl. */
export function serverTls(
  values: ServerTlsValues,
  global: SystemProperties,
): ServerTls | undefined {
  if (!values.ssl) return undefined;
  const { clientAuth } = values;
  const keystore = storeOf("keystore", keystoreValues(values), global);
  if (keystore === undefined) return undefined;
  const truststore =
    clientAuth === "none" ? undefined : storeOf("truststore", truststoreValues(values), global);
  return {
    ...tlsChoiceOf(values, global),
    keystore,
    clientAuth,
    ...(truststore === undefined ? {} : { truststore }),
  };
}

/** Everything wrong with the values together. Opens no file. */
export function checkServerTransport(
  values: ServerTransportValues,
  global: SystemProperties,
): readonly OptionCheck[] {
  return [...checkServerTls(values, global), ...checkIpFilter(values)];
}

export function checkServerTls(
  values: ServerTlsValues,
  global: SystemProperties,
): readonly OptionCheck[] {
  if (!values.ssl) return [];
  const { clientAuth } = values;
  const problems: OptionCheck[] = [...checkStoreType("keystore", keystoreValues(values), global)];
  if (storeOf("keystore", keystoreValues(values), global) === undefined) {
    const message =
      "is required with ssl = true, here or for all as -Djavax.net.ssl.keyStore or FLUME_SSL_KEYSTORE_PATH";
    problems.push({ key: "keystore", message });
  }
  if (clientAuth !== "none") {
    problems.push(...checkStoreType("truststore", truststoreValues(values), global));
    if (storeOf("truststore", truststoreValues(values), global) === undefined) {
      const message = `is required with clientAuth = ${clientAuth}: who may sign a client's certificate`;
      problems.push({ key: "truststore", message });
    }
  }
  return [...problems, ...checkTlsChoice(tlsChoiceOf(values, global))];
}

export function checkIpFilter({
  ipFilter = false,
  ipFilterRules,
}: Partial<IpFilterValues>): readonly OptionCheck[] {
  if (!ipFilter) return [];
  const { problem } = parseIpFilterRules(ipFilterRules ?? "");
  return problem === undefined ? [] : [{ key: "ipFilterRules", message: problem }];
}

const keystoreValues = (values: ServerTlsValues) => ({
  path: values.keystore,
  password: values.keystorePassword,
  type: values.keystoreType,
  keyPath: values.keystoreKey,
});

const truststoreValues = (values: ServerTlsValues) => ({
  path: values.truststore,
  password: values.truststorePassword,
  type: values.truststoreType,
});
